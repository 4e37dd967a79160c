/**
 * `spec.enforcers`: calls that fail, or whose process gets a signal. A selector of the policy requests it in an earlier call of the same
 * thread (NotifyEnforcer). These calls have a hook of their own, which does that. If the selector's own hook is on such a call, it acts at once.
 */
import { show } from '../../yaml/problems.ts'
import type { Position } from '../../yaml/problems.ts'
import { Fields, asText } from '../fields.ts'
import type { Place } from '../fields.ts'
import { LIST, MAX_LISTED, checkCall } from '../lists.ts'
import type { ListedCall, Lists } from '../lists.ts'
import type { Actions, HookSpec, KprobeSpec } from '../policy.ts'
import { killFirst, notifies } from '../selectors/actions.ts'
import { PLAIN_HOOK } from '../kprobe.ts'
import { KEYS } from '../tables.ts'

export const MAX_ENFORCERS = 1

export interface Enforcer {
  readonly calls: readonly ListedCall[]
  readonly at: Position
}

/** undefined when the policy has none. */
export function readEnforcer(spec: Fields, lists: Lists): Enforcer | undefined {
  const [item] = spec.list('enforcers', MAX_ENFORCERS)
  const fields = item && Fields.of(item, KEYS.enforcer)
  if (item === undefined || fields === undefined) return undefined
  const expected = 'a list of system calls and functions security_*, such as [sys_dup]'
  const calls = fields.needList('calls', expected, MAX_LISTED, 'call').flatMap((call) => readCall(call, lists))
  return fields.get('calls') && { calls, at: item.node.at }
}

function readCall(place: Place, lists: Lists): readonly ListedCall[] {
  const name = asText(place)
  if (name === undefined) return []
  const calls = name.startsWith(LIST) ? lists.callsOf(name.slice(LIST.length), place) : [{ name }]
  return calls.map((call) => {
    const syscall = call.syscall ?? !call.name.startsWith('security_')
    if (call.syscall === undefined && !/^(?:sys_|__(?:x64|arm64|ia32)_sys_|security_)/.test(call.name)) {
      place.refuse(`expected a system call such as sys_dup, or a function security_*, got ${show(call.name)}`)
    } else if (call.generated === undefined) checkCall(call.name, syscall, place)
    return { ...call, syscall }
  })
}

/** The hooks as changed by the enforcer, then the hooks of the enforcer. */
export function withEnforcer(hooks: readonly HookSpec[], enforcer: Enforcer | undefined, spec: Fields): HookSpec[] {
  const notifying = hooks.filter(notifies)
  const [first] = notifying
  if (enforcer === undefined) {
    if (first !== undefined) {
      const sentence =
        'the policy has no enforcers: add enforcers: [{calls: [...]}] to spec, with the calls that should fail'
      spec.problems.add(first.at, `action NotifyEnforcer: ${sentence}`)
    }
    return [...hooks]
  }
  if (first === undefined) {
    spec.warn('enforcers', 'no selector has action NotifyEnforcer')
    return [...hooks]
  }
  const own = new Set(enforcer.calls.map(({ name, syscall }) => keyOf(name, syscall)))
  const direct = (hook: HookSpec): boolean => hook.type === 'kprobe' && own.has(keyOf(hook.call, hook.syscall))
  const notes = notifying.filter((hook) => !direct(hook)).flatMap(notesOf)
  const denies = notes.some(({ error }) => error !== 0)
  return [
    ...hooks.map((hook) => (direct(hook) ? actingAtOnce(hook) : hook)),
    ...(notes.length === 0 ? [] : enforcer.calls.map((call) => enforcing(call, denies, enforcer.at))),
  ]
}

const keyOf = (name: string, syscall: boolean | undefined): string => `${name} ${syscall}`

const notesOf = ({ selectors }: HookSpec): ReadonlyArray<NonNullable<Actions['notify']>> =>
  selectors.flatMap(({ actions }) => actions?.notify ?? [])

function actingAtOnce(hook: HookSpec): HookSpec {
  const selectors = hook.selectors.map((selector) => {
    if (selector.actions?.notify === undefined) return selector
    const { notify, ...actions } = selector.actions
    const { signals, error = notify.error } = actions
    return {
      ...selector,
      actions: {
        ...actions,
        signals: notify.signal === 0 ? signals : killFirst([...signals, notify.signal]),
        ...(error === 0 ? {} : { error }),
      },
    }
  })
  return { ...hook, selectors }
}

function enforcing({ name, syscall = true, generated }: ListedCall, denies: boolean, at: Position): KprobeSpec {
  const actions: Actions = { last: 'nopost', signals: [], reports: false, limit: undefined, enforces: { denies } }
  const selectors = [{ matchArgs: [], actions }]
  const made = { ...PLAIN_HOOK, type: 'kprobe', call: name, syscall, args: [], selectors, at } as const
  return generated === undefined ? made : { ...made, generated }
}
