import { RETURN_TYPES } from './arguments.ts'
import type { ArgumentSpec, KprobeSpec, Selector } from './policy.ts'
import { show } from '../yaml/problems.ts'
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
/** No name is longer. */
const MAX_HOOK = 128
const TEXT_MIN_BYTES = 2
const MESSAGE_MAX_BYTES = 256
const TAG_MAX_BYTES = 128

/** A hook with defaults for everything else. */
export const PLAIN_HOOK = {
  optional: false,
  syscall: false,
  return: false,
  returnArg: undefined,
  returnAction: 'post',
  action: 'post',
  message: '',
  tags: [],
} as const

/** One entry of `spec.kprobes`, as a hook for each function that it names. Empty only after at least one problem. */
export function readKprobe(place: Place, lists: Lists, macros: Macros): KprobeSpec[] {
  const fields = Fields.of(place, KEYS.kprobe)
  if (fields === undefined) return []
  // The default in Tetragon's schema is true, although its documentation of hooks has false.
  const before = fields.problems.count
  const syscall = fields.flag('syscall', true)
  const isSure = fields.problems.count === before && !fields.isMeant('syscall')
  const calls = readCalls(fields, isSure ? syscall : undefined, lists)
  const optional = readIgnore(fields)
  const returns = fields.flag('return', false, '; its type belongs in returnArg: {index: 0, type: int}')
  const returnArg = readReturnArg(fields, returns)
  checkReturnAction(fields)
  const args = readArguments(fields)
  const data = readData(fields, args.length)
  const selectors = readSelectors(fields, args, returns ? [returnArg] : [], macros, undefined, data)
  if (denies({ selectors })) checkDeniable(calls, syscall, fields)
  checkReturnCopy(args, selectors, fields)
  if (denies({ selectors }) && data.some((item) => item?.source === 'pt_regs')) {
    const sentence =
      'pt_regs: registers are mostly not available with Override; use two hooks, one with Override and one with data'
    fields.refuse('data', sentence)
  }
  const others = { ...readOwn(fields, args, selectors), ...readReported(fields) }
  return calls.map((call) => ({
    ...PLAIN_HOOK,
    type: 'kprobe',
    call: call.name,
    ...(call.generated === undefined ? {} : { generated: call.generated }),
    optional,
    syscall: call.syscall ?? syscall,
    return: returns || readsAtReturn(args),
    returnArg,
    args: withSizes([...args, ...data], returnArg),
    selectors,
    ...others,
    at: place.node.at,
  }))
}

/** Checks that programs may make the calls fail. */
function checkDeniable(calls: readonly ListedCall[], syscall: boolean, fields: Fields): void {
  const other = calls.find((call) => !(call.syscall ?? syscall) && !call.name.startsWith('security_'))
  if (other === undefined) return
  const expected = `action Override: expected a system call or a function security_*, got ${show(other.name)}`
  fields.refuse('selectors', expected)
}

/** Refuses `returnCopy` with actions at the entry, where nothing is read yet, and with an iov_iter, which is used up at the return. */
function checkReturnCopy(
  args: ReadonlyArray<ArgumentSpec | undefined>,
  selectors: readonly Selector[],
  fields: Fields,
): void {
  if (!readsAtReturn(args)) return
  if (denies({ selectors }) || sendsSignals({ selectors }) || notifies({ selectors })) {
    const sentence =
      'returnCopy reads at the return of a call, but Override, Signal, Sigkill and NotifyEnforcer act at its entry; use two hooks'
    fields.refuse('args', sentence)
  }
  if (args.some((arg) => arg?.type.name === 'iov_iter')) {
    const sentence = 'with returnCopy, arguments are read at the return, when an iov_iter is consumed; use two hooks'
    fields.refuse('args', sentence)
  }
}

/** The kernel's functions of the BPF LSM, one for each security hook. */
export const LSM_PREFIX = 'bpf_lsm_'

/** One entry of `spec.lsmhooks`. Empty only after at least one problem. */
export function readLsmHook(place: Place, macros: Macros): KprobeSpec[] {
  const fields = Fields.of(place, KEYS.lsm)
  if (fields === undefined) return []
  const hookAt = fields.needText('hook', 'the name of a security hook, such as file_open')
  const args = readArguments(fields)
  const selectors = readSelectors(fields, args, [], macros)
  refuseStacks(selectors, fields)
  const others = { ...readOwn(fields, args, selectors), ...readReported(fields) }
  if (notifies({ selectors })) {
    fields.refuse('selectors', 'action NotifyEnforcer: expected Override, Signal or Sigkill in a security hook')
  }
  if (readsAtReturn(args)) {
    fields.refuse('args', `returnCopy: ktrail does not see the return of a security hook; use kprobes`)
  }
  if (hookAt === undefined) return []
  const hook = hookAt.text
  if (!/^[a-z][a-z0-9_]*$/.test(hook) || hook.length > MAX_HOOK) {
    hookAt.refuse(`expected the name of a security hook, such as file_open, got ${show(hook)}`)
    return []
  }
  const meant = hook.replace(/^(?:security_|bpf_lsm_|lsm_)/, '')
  if (meant !== hook) {
    const sentence = `expected the name of a security hook without prefix, got ${show(hook)} (did you mean ${show(meant)}?)`
    hookAt.refuse(sentence)
    return []
  }
  return [
    {
      ...PLAIN_HOOK,
      type: 'lsm',
      call: LSM_PREFIX + hook,
      args: withSizes(args, undefined),
      selectors,
      ...others,
      at: place.node.at,
    },
  ]
}

/** Post happens anyway; the other actions are for sockets. */
function checkReturnAction(fields: Fields): void {
  const place = fields.textAt('returnArgAction')
  if (place === undefined || place.text === 'Post') return
  const action = place.text
  const known = ['TrackSock', 'UntrackSock'].includes(action)
  const got = known ? `${notSupported('action', action)}; expected Post` : `expected Post, got ${show(action)}`
  place.refuse(`${got}; remove it`)
}

/** `syscall`: undefined when it is not known, because of a mistake. */
function readCalls(fields: Fields, syscall: boolean | undefined, lists: Lists): readonly ListedCall[] {
  const place = fields.needText('call', 'the name of a kernel function')
  if (place === undefined) return []
  const call = place.text
  if (call.startsWith(LIST)) return lists.callsOf(call.slice(LIST.length), place)
  checkCall(call, syscall, place)
  return [{ name: call }]
}

function readIgnore(fields: Fields): boolean {
  const place = fields.get('ignore')
  const ignore = place && Fields.of(place, KEYS.ignore)
  return ignore?.flag('callNotFound', false) ?? false
}

function readReturnArg(fields: Fields, returns: boolean): ArgumentSpec | undefined {
  const place = fields.get('returnArg')
  if (place === undefined) {
    if (returns) {
      const example = 'returnArg: {index: 0, type: int}'
      fields.refuse('return', `true requires the type of the return value, such as ${example}`)
    }
    return undefined
  }
  if (!returns) {
    fields.warn('returnArg', 'has no effect without return: true; add return: true, or remove returnArg')
  }
  const spec = readArgument(place, { ...OF_FUNCTION, types: RETURN_TYPES, of: 'a return value', fallback: 0 })
  return returns ? spec : undefined
}

export function readReported(fields: Fields): Pick<KprobeSpec, 'message' | 'tags'> {
  const message = fields.get('message')
  return {
    message: message === undefined ? '' : readQuoted(message, MESSAGE_MAX_BYTES),
    tags: fields.list('tags', MAX_TAGS).map((tag) => {
      warnOfSeverity(tag)
      return readQuoted(tag, TAG_MAX_BYTES)
    }),
  }
}

/** A tag that means a severity, but has none: other tags are free. */
function warnOfSeverity(tag: Place): void {
  const { text } = tag
  const isMeant = /^severity\b|^priority[.:=]|^(?:low|medium|high|critical)$/i.test(text)
  if (!isMeant || /^severity\.(?:low|medium|high|critical)$/.test(text)) return
  const expected = 'expected severity.low, severity.medium, severity.high or severity.critical'
  tag.warn(`${show(text)} is a tag without a severity; ${expected}`)
}

/** '' after a problem. */
function readQuoted(place: Place, max: number): string {
  const text = asText(place)
  if (text === undefined) return ''
  if (Buffer.byteLength(text) < TEXT_MIN_BYTES) {
    place.refuse(`expected ${TEXT_MIN_BYTES} to ${max} bytes, got ${show(text)}`)
  }
  return goQuoted(text, max)
}
