import { RETURN_TYPES } from './arguments.ts'
import type { ArgumentSpec, KprobeSpec, Selector } from './policy.ts'
import { show } from '../yaml/problems.ts'
import type { Problems } from '../yaml/problems.ts'
import { Fields, asText, notSupported } from './fields.ts'
import type { Place } from './fields.ts'
import { goQuoted } from '../base/quoting.ts'
import { denies, notifies, refuseStacks, sendsSignals } from './selectors/actions.ts'
import { KEYS } from './tables.ts'
import type { Macros } from './selectors/macros.ts'
import { OF_FUNCTION, readArgument, readArguments, readData } from './types/argument.ts'
import { readsAtReturn, withSizes } from './types/bytes.ts'
import { readSelectors } from './selector.ts'
import { readOwn } from './selectors/own.ts'
import { LIST, checkCall } from './lists.ts'
import type { ListedCall, Lists } from './lists.ts'

export const MAX_TAGS = 16
/** Longer than any. */
const MAX_HOOK = 128
const TEXT_MIN_BYTES = 2
const MESSAGE_MAX_BYTES = 256
const TAG_MAX_BYTES = 128

/** One entry of `spec.kprobes`, as a hook for each function that it names. Empty only after at least one problem. */
export function readKprobe(place: Place, lists: Lists, macros: Macros, problems: Problems): KprobeSpec[] {
  const fields = Fields.of(place, KEYS.kprobe, problems)
  if (fields === undefined) return []
  // The default in Tetragon's schema is true, although its documentation of hooks has false.
  const before = problems.count
  const syscall = fields.flag('syscall', true)
  const isSure = problems.count === before && !fields.isMeant('syscall')
  const calls = readCalls(fields, isSure ? syscall : undefined, lists, problems)
  const optional = readIgnore(fields, problems)
  const returns = fields.flag('return', false)
  const returnArg = readReturnArg(fields, returns, problems)
  checkReturnAction(fields, problems)
  const args = readArguments(fields, problems)
  const data = readData(fields, args.length, problems)
  const selectors = readSelectors(fields, args, returns ? [returnArg] : [], macros, problems, undefined, data)
  if (denies({ selectors })) checkDeniable(calls, syscall, fields, problems)
  checkReturnCopy(args, selectors, fields, problems)
  if (denies({ selectors }) && data.some((item) => item?.source === 'pt_regs')) {
    const sentence =
      'pt_regs: where the kernel makes a call fail it mostly has no registers; use two hooks, one with Override and one with data'
    problems.add(fields.keyAt('data'), `${fields.pathOf('data')}: ${sentence}`)
  }
  const own = readOwn(fields, args, selectors, problems)
  const message = readMessage(fields, problems)
  const tags = readTags(fields, problems)
  return calls.map((call) => ({
    type: 'kprobe',
    call: call.name,
    ...(call.generated === undefined ? {} : { generated: call.generated }),
    optional,
    syscall: call.syscall ?? syscall,
    return: returns || readsAtReturn(args),
    returnArg,
    returnAction: 'post',
    action: 'post',
    args: withSizes(
      [...args, ...data].filter((arg) => arg !== undefined),
      returnArg,
    ),
    selectors,
    ...own,
    message,
    tags,
    at: place.node.at,
  }))
}

/** As in Tetragon: what the kernel lets programs have fail. */
function checkDeniable(calls: readonly ListedCall[], syscall: boolean, fields: Fields, problems: Problems): void {
  const other = calls.find((call) => !(call.syscall ?? syscall) && !call.name.startsWith('security_'))
  if (other === undefined) return
  const expected = `action Override: expected a system call or a function security_*, got ${show(other.name)}`
  problems.add(fields.keyAt('selectors'), `${fields.pathOf('selectors')}: ${expected}`)
}

/** What is read at the return of a call cannot be known when the call is stopped, and what is gone by then cannot be read. */
function checkReturnCopy(
  args: ReadonlyArray<ArgumentSpec | undefined>,
  selectors: readonly Selector[],
  fields: Fields,
  problems: Problems,
): void {
  if (!readsAtReturn(args)) return
  const path = fields.pathOf('args')
  if (denies({ selectors }) || sendsSignals({ selectors }) || notifies({ selectors })) {
    const sentence =
      'returnCopy reads at the return of a call, and Override, Signal, Sigkill and NotifyEnforcer act at its entry; use two hooks'
    problems.add(fields.keyAt('args'), `${path}: ${sentence}`)
  }
  if (args.some((arg) => arg?.type.name === 'iov_iter')) {
    const sentence = 'with returnCopy the arguments are read at the return, where an iov_iter is used up; use two hooks'
    problems.add(fields.keyAt('args'), `${path}: ${sentence}`)
  }
}

/** The kernel's functions of the BPF LSM, one for each security hook. */
export const LSM_PREFIX = 'bpf_lsm_'

/** One entry of `spec.lsmhooks`. Empty only after at least one problem. */
export function readLsmHook(place: Place, macros: Macros, problems: Problems): KprobeSpec[] {
  const fields = Fields.of(place, KEYS.lsm, problems)
  if (fields === undefined) return []
  const hookAt = fields.need('hook', 'the name of a security hook, such as file_open')
  const hook = hookAt === undefined ? undefined : asText(hookAt, problems)
  const args = readArguments(fields, problems)
  const selectors = readSelectors(fields, args, [], macros, problems)
  refuseStacks(selectors, fields, problems)
  const own = readOwn(fields, args, selectors, problems)
  const message = readMessage(fields, problems)
  const tags = readTags(fields, problems)
  if (notifies({ selectors })) {
    const sentence = 'action NotifyEnforcer: expected Override, Signal or Sigkill in a security hook'
    problems.add(fields.keyAt('selectors'), `${fields.pathOf('selectors')}: ${sentence}`)
  }
  if (readsAtReturn(args)) {
    const sentence = 'a security hook has no return that ktrail sees; use kprobes'
    problems.add(fields.keyAt('args'), `${fields.pathOf('args')}: returnCopy: ${sentence}`)
  }
  if (hookAt === undefined || hook === undefined) return []
  if (!/^[a-z][a-z0-9_]*$/.test(hook) || hook.length > MAX_HOOK) {
    problems.add(
      hookAt.node.at,
      `${hookAt.path}: expected the name of a security hook, such as file_open, got ${show(hook)}`,
    )
    return []
  }
  const meant = hook.replace(/^(?:security_|bpf_lsm_|lsm_)/, '')
  if (meant !== hook) {
    const sentence = `expected the name of a security hook without prefix, got ${show(hook)} (did you mean ${show(meant)}?)`
    problems.add(hookAt.node.at, `${hookAt.path}: ${sentence}`)
    return []
  }
  return [
    {
      type: 'lsm',
      call: LSM_PREFIX + hook,
      optional: false,
      syscall: false,
      return: false,
      returnArg: undefined,
      returnAction: 'post',
      action: 'post',
      args: withSizes(
        args.filter((arg) => arg !== undefined),
        undefined,
      ),
      selectors,
      ...own,
      message,
      tags,
      at: place.node.at,
    },
  ]
}

/** Post is what happens anyway. The others are for sockets. */
function checkReturnAction(fields: Fields, problems: Problems): void {
  const action = fields.text('returnArgAction')
  if (action === undefined || action === 'Post') return
  const known = ['TrackSock', 'UntrackSock'].includes(action)
  const got = known ? `${notSupported('action', action)}; expected Post` : `expected Post, got ${show(action)}`
  const path = fields.pathOf('returnArgAction')
  problems.add(fields.get('returnArgAction')?.node.at ?? fields.at, `${path}: ${got}; leave it out`)
}

/** `syscall`: undefined when it is not known, because of a mistake. */
function readCalls(
  fields: Fields,
  syscall: boolean | undefined,
  lists: Lists,
  problems: Problems,
): readonly ListedCall[] {
  const place = fields.need('call', 'the name of a kernel function')
  const call = place === undefined ? undefined : asText(place, problems)
  if (place === undefined || call === undefined) return []
  if (call.startsWith(LIST)) return lists.callsOf(call.slice(LIST.length), place, problems)
  checkCall(call, syscall, place, problems)
  return [{ name: call }]
}

function readIgnore(fields: Fields, problems: Problems): boolean {
  const place = fields.get('ignore')
  const ignore = place === undefined ? undefined : Fields.of(place, KEYS.ignore, problems)
  return ignore?.flag('callNotFound', false) ?? false
}

function readReturnArg(fields: Fields, returns: boolean, problems: Problems): ArgumentSpec | undefined {
  const place = fields.get('returnArg')
  if (place === undefined) {
    if (returns) {
      const example = 'returnArg: {index: 0, type: int}'
      problems.add(
        fields.keyAt('return'),
        `${fields.pathOf('return')}: true needs the type of what is returned, such as ${example}`,
      )
    }
    return undefined
  }
  if (!returns) {
    problems.warn(
      fields.keyAt('returnArg'),
      `${place.path}: has no effect without return: true; add that, or drop this`,
    )
  }
  const spec = readArgument(place, { ...OF_FUNCTION, types: RETURN_TYPES, of: 'a return value', fallback: 0 }, problems)
  return returns ? spec : undefined
}

export function readMessage(fields: Fields, problems: Problems): string {
  const place = fields.get('message')
  const text = place === undefined ? undefined : asText(place, problems)
  if (place === undefined || text === undefined) return ''
  return readQuoted(place, text, MESSAGE_MAX_BYTES, problems)
}

export function readTags(fields: Fields, problems: Problems): string[] {
  return fields.list('tags', MAX_TAGS).map((place) => {
    const text = asText(place, problems)
    return text === undefined ? '' : readQuoted(place, text, TAG_MAX_BYTES, problems)
  })
}

function readQuoted(place: Place, text: string, max: number, problems: Problems): string {
  if (Buffer.byteLength(text) < TEXT_MIN_BYTES) {
    problems.add(place.node.at, `${place.path}: expected ${TEXT_MIN_BYTES} to ${max} bytes, got ${show(text)}`)
  }
  return goQuoted(text, max)
}
