/** `matchActions`: the actions on a call that a selector matches. */
import { didYouMean, meant, notOneOf } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import { Fields, asInteger, asText, notSupported } from '../fields.ts'
import type { Place } from '../fields.ts'
import { same } from '../operators.ts'
import type { Action, Actions, EnforcerNote, HookSpec, RateLimit, Selector, Stacks } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { readName } from './common.ts'

/** Tetragon's bound; bpf/frame/filter.h has room for as many signals. */
export const MAX_ACTIONS = 3
/** include/uapi/asm-generic/signal.h _NSIG */
export const MAX_SIGNAL = 64
/** On every architecture that Linux has. */
export const SIGKILL = 9
/** include/linux/err.h: an error is not below -4095. */
export const MIN_ERROR = -4095
/** include/uapi/asm-generic/errno-base.h */
const EPERM = -1
/** The kernel side counts milliseconds in a u32. */
const MAX_SECONDS = Math.floor((2 ** 32 - 1) / 1000)

export const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['Post', 'post'],
  ['NoPost', 'nopost'],
  ['Sigkill', 'sigkill'],
  ['Signal', 'signal'],
  ['Override', 'override'],
  ['NotifyEnforcer', 'notifyenforcer'],
  ['CleanupEnforcerNotification', 'cleanupenforcernotification'],
])

/** Tetragon's actions that this version does not support. */
const LATER_ACTIONS = 'GetUrl DnsLookup TrackSock UntrackSock Set'.split(' ')

/** Actions of older versions of Tetragon, and their replacements. */
const FORMER_ACTIONS: ReadonlyMap<string, string> = new Map([
  ['NotifyKiller', 'use NotifyEnforcer'],
  ...['FollowFD', 'UnfollowFD', 'CopyFD'].map(
    (name) => [name, 'use a filter on an argument of type file or fd'] as const,
  ),
])

export const SCOPES: ReadonlyMap<string, RateLimit['scope']> = new Map(same('thread', 'process', 'global'))

const OF_POST = ['rateLimit', 'rateLimitScope', 'kernelStackTrace', 'userStackTrace']

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600 }

interface One {
  readonly action: Action
  readonly signal: number
  readonly error: number
  readonly note: EnforcerNote | undefined
  readonly limit: RateLimit | undefined
  readonly stacks: Stacks
}

/** Actions that a selector has once. */
const ONCE: ReadonlyArray<readonly [names: string, is: (one: One) => boolean]> = [
  ['Post', ({ action }) => action === 'post'],
  ['Override', ({ action }) => action === 'override'],
  ['NotifyEnforcer or CleanupEnforcerNotification', ({ note }) => note !== undefined],
]

/** `actions` is absent if an event is the only effect. */
export function readActions(selector: Fields): Pick<Selector, 'actions' | 'stacks'> {
  const all: One[] = []
  for (const place of selector.list('matchActions', MAX_ACTIONS)) {
    const one = readAction(place)
    if (one === undefined) continue
    for (const [names, is] of ONCE) {
      if (is(one) && all.some(is)) place.refuse(`expected at most one action ${names} in a selector; remove one`)
    }
    all.push(one)
  }
  const stacks = all.find(({ stacks: { kernel, user } }) => kernel || user)?.stacks
  const asked = stacks === undefined ? {} : { stacks }
  const limit = all.find((one) => one.limit !== undefined)?.limit
  const last = all.at(-1)
  if (last === undefined || (limit === undefined && all.every(({ action }) => action === 'post'))) return asked
  const error = all.find(({ action }) => action === 'override')?.error
  const note = all.find((one) => one.note !== undefined)?.note
  const actions: Actions = {
    last: last.action,
    ...(error === undefined ? {} : { error }),
    signals: killFirst(all.flatMap(({ signal }) => (signal === 0 ? [] : [signal]))),
    ...(note === undefined ? {} : { notify: note }),
    reports: all.every(({ action }) => action !== 'nopost'),
    limit,
  }
  return { actions, ...asked }
}

/** SIGKILL first: Linux before 5.11 takes only one signal at a return (docs/reference/policy/actions.md, Signals). */
export const killFirst = (signals: readonly number[]): number[] =>
  signals.toSorted((one, other) => Number(other === SIGKILL) - Number(one === SIGKILL))

/** Refuses stacks for a hook whose records have no room for them. */
export function refuseStacks(selectors: readonly Selector[], fields: Fields): void {
  if (selectors.every(({ stacks }) => stacks === undefined)) return
  const sentence =
    'kernelStackTrace and userStackTrace: only records of kprobes have stacks; hook the function with kprobes'
  fields.refuse('selectors', sentence)
}

/** Whether calls that match may get a signal. */
export function sendsSignals({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions !== undefined && actions.signals.length > 0)
}

/** Whether calls that match have something done about the next call of their thread. */
export function notifies({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions?.notify !== undefined)
}

/** Whether it carries out notes that selectors of other hooks left. */
export function enforces({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions?.enforces !== undefined)
}

/** Whether calls that match may fail because of it. */
export function denies({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions?.error !== undefined || actions?.enforces?.denies === true)
}

/** Hook in mode monitor. */
export function withoutEffect(hook: HookSpec): HookSpec {
  const selectors = hook.selectors.map((selector) => {
    if (selector.actions === undefined) return selector
    const { error, notify, ...others } = selector.actions
    const monitored = {
      signals: others.signals,
      ...(error === undefined ? {} : { error }),
      ...(notify === undefined ? {} : { notify }),
    }
    return { ...selector, actions: { ...others, signals: [], monitored } }
  })
  return { ...hook, selectors }
}

function readAction(place: Place): One | undefined {
  const fields = Fields.of(place, KEYS.action)
  if (fields === undefined) return undefined
  const action = readActionName(fields)
  const argSig = fields.get('argSig')
  const asked = argSig && asInteger(argSig, 1, MAX_SIGNAL)
  if (action === 'signal' && argSig === undefined) fields.need('argSig', `a signal from 1 to ${MAX_SIGNAL}`)
  const error = action === 'override' ? readError(fields) : EPERM
  const note = readNote(fields, action, asked ?? 0)
  const limit = readLimit(fields)
  if (action === undefined) return undefined
  const notes = action === 'notifyenforcer'
  if (action !== 'signal' && !notes) warnOfKey(fields, 'argSig', 'Signal and NotifyEnforcer', action)
  if (action !== 'override' && !notes) warnOfKey(fields, 'argError', 'Override and NotifyEnforcer', action)
  if (action !== 'post') for (const key of OF_POST) refuseKey(fields, key, 'Post')
  const signal = action === 'sigkill' ? SIGKILL : action === 'signal' ? (asked ?? 0) : 0
  const stacks = { kernel: fields.flag('kernelStackTrace', false), user: fields.flag('userStackTrace', false) }
  return { action, signal, error, note, limit, stacks }
}

function readNote(fields: Fields, action: Action | undefined, signal: number): EnforcerNote | undefined {
  if (action === 'cleanupenforcernotification') return { error: 0, signal: 0 }
  if (action !== 'notifyenforcer') return undefined
  if (fields.get('argError') === undefined && fields.get('argSig') === undefined) {
    const sentence = 'expected argError, argSig or both, such as argError: -1'
    fields.problems.add(fields.at, `${fields.path}: action NotifyEnforcer does nothing: ${sentence}`)
  }
  return { error: fields.get('argError') === undefined ? 0 : readError(fields), signal }
}

/** EPERM after a mistake, and for a number that is no error, as in Tetragon. */
function readError(fields: Fields): number {
  const place = fields.need('argError', `an error from ${MIN_ERROR} to -1, such as -1 (EPERM)`)
  const value = place?.scalar
  if (place !== undefined && isNoError(value)) {
    place.warn(`${value} is not an error (${MIN_ERROR} to -1): the call fails with -1 (EPERM), as in Tetragon`)
    return EPERM
  }
  return (place && asInteger(place, MIN_ERROR, -1)) ?? EPERM
}

/** Whether Tetragon's kernel side replaces the value by EPERM. It does not replace 0: that would be success without the call. */
function isNoError(value: unknown): value is number {
  return (
    Number.isInteger(value) && (Number(value) > 0 || Number(value) < MIN_ERROR) && Math.abs(Number(value)) < 2 ** 31
  )
}

function readActionName(fields: Fields): Action | undefined {
  const names = [...ACTIONS.keys()]
  const expected = `expected one of ${names.join(', ')}`
  const place = fields.need('action', `one of ${names.join(', ')}`)
  if (place === undefined) return undefined
  const text = place.scalar
  if (typeof text !== 'string') return place.refuse(`${expected}, got ${describe(place.node)}`)
  const action = ACTIONS.get(text)
  if (action !== undefined) return action
  const former = FORMER_ACTIONS.get(text)
  let sentence = notOneOf(
    names,
    show(text),
    didYouMean(meant('action', text) ?? text, [...names, ...LATER_ACTIONS]),
    'action',
  )
  if (former !== undefined) sentence = `Tetragon removed the action ${show(text)}: ${former}`
  else if (LATER_ACTIONS.includes(text)) sentence = `${notSupported('action', text)}; ${expected}`
  return place.refuse(sentence)
}

/** A key of another action, which Tetragon accepts and ignores. */
function warnOfKey(fields: Fields, key: string, owner: string, action: Action): void {
  if (fields.get(key) === undefined) return
  const name = [...ACTIONS].find(([, value]) => value === action)?.[0] ?? action
  fields.warn(key, `has no effect with action ${name}, only with ${owner}; remove it`)
}

function refuseKey(fields: Fields, key: string, owner: string): void {
  if (fields.get(key) === undefined) return
  fields.refuse(key, `applies only to action ${owner}; remove it`)
}

function readLimit(fields: Fields): RateLimit | undefined {
  const scopeAt = fields.get('rateLimitScope')
  const scope = scopeAt === undefined ? 'thread' : readName(fields, 'rateLimitScope', SCOPES)
  const place = fields.get('rateLimit')
  if (place === undefined) {
    if (scopeAt !== undefined) {
      fields.warn('rateLimitScope', 'has no effect without rateLimit')
    }
    return undefined
  }
  const text = asText(place)
  if (text === undefined) return undefined
  const [, digits = '', unit = ''] = /^(\d{1,10})([smh]?)$/i.exec(text) ?? []
  const seconds = Number(digits) * (SECONDS[unit.toLowerCase()] ?? 0)
  if (digits === '' || seconds < 1 || seconds > MAX_SECONDS) {
    const expected = `a time from 1s to ${Math.floor(MAX_SECONDS / 3600)}h, such as 30s, 5m or 1h`
    return place.refuse(`expected ${expected}, got ${show(text)}`)
  }
  return scope === undefined ? undefined : { ms: 1000 * seconds, scope }
}
