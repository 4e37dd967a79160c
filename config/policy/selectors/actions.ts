/** What is done about a call that a selector matches: matchActions. */
import { didYouMean } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import type { Problems } from '../../yaml/problems.ts'
import { Fields, asInteger, asText, notSupported } from '../fields.ts'
import type { Place } from '../fields.ts'
import type { Action, Actions, HookSpec, RateLimit } from '../policy.ts'
import { ACTION_KEYS } from '../tables.ts'
import { readName } from './common.ts'

/** Tetragon's bound; bpf/filter.h has room for as many signals. */
export const MAX_ACTIONS = 3
/** include/uapi/asm-generic/signal.h _NSIG */
export const MAX_SIGNAL = 64
/** On every architecture that Linux has. */
export const SIGKILL = 9
/** include/linux/err.h: what the kernel takes for an error is not below -4095. */
export const MIN_ERROR = -4095
/** include/uapi/asm-generic/errno-base.h */
const EPERM = -1
/** What the kernel side counts in: a u32 of milliseconds. */
const MAX_SECONDS = Math.floor((2 ** 32 - 1) / 1000)

export const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['Post', 'post'],
  ['NoPost', 'nopost'],
  ['Sigkill', 'sigkill'],
  ['Signal', 'signal'],
  ['Override', 'override'],
])

/** Tetragon's actions that this version does not support. */
const LATER_ACTIONS = 'GetUrl DnsLookup TrackSock UntrackSock NotifyEnforcer CleanupEnforcerNotification Set'.split(' ')

const ENFORCER_ACTIONS = ['NotifyEnforcer', 'CleanupEnforcerNotification']
const INSTEAD_OF_ENFORCERS = 'write Override or Signal into a hook of each call that the enforcer has'

/** Those of older versions of Tetragon, and what to do instead. */
const FORMER_ACTIONS: ReadonlyMap<string, string> = new Map([
  ['NotifyKiller', 'its name is NotifyEnforcer now'],
  ...['FollowFD', 'UnfollowFD', 'CopyFD'].map(
    (name) => [name, 'filter on an argument of type file or fd instead'] as const,
  ),
])

export const SCOPES: ReadonlyMap<string, RateLimit['scope']> = new Map([
  ['thread', 'thread'],
  ['process', 'process'],
  ['global', 'global'],
])

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600 }

interface One {
  readonly action: Action
  readonly signal: number
  readonly error: number
  readonly limit: RateLimit | undefined
}

/** Undefined: nothing but an event. */
export function readActions(selector: Fields, problems: Problems): Actions | undefined {
  const places = selector.list('matchActions', MAX_ACTIONS)
  const all: One[] = []
  let limited = false
  for (const place of places) {
    const one = readAction(place, problems)
    if (one === undefined) continue
    if (one.action === 'post' && all.some(({ action }) => action === 'post')) {
      problems.add(place.node.at, `${place.path}: expected at most one action Post in a selector; drop one`)
    }
    if (one.action === 'override' && all.some(({ action }) => action === 'override')) {
      problems.add(place.node.at, `${place.path}: expected at most one action Override in a selector; drop one`)
    }
    limited ||= one.limit !== undefined
    all.push(one)
  }
  const last = all.at(-1)
  if (last === undefined || (!limited && all.every(({ action }) => action === 'post'))) return undefined
  const error = all.find(({ action }) => action === 'override')?.error
  return {
    last: last.action,
    ...(error === undefined ? {} : { error }),
    signals: all.flatMap(({ signal }) => (signal === 0 ? [] : [signal])),
    reports: all.every(({ action }) => action !== 'nopost'),
    limit: all.find(({ limit }) => limit !== undefined)?.limit,
  }
}

/** Whether calls that match may get a signal. */
export function sendsSignals({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions !== undefined && actions.signals.length > 0)
}

/** Whether calls that match may fail because of it. */
export function denies({ selectors }: Pick<HookSpec, 'selectors'>): boolean {
  return selectors.some(({ actions }) => actions?.error !== undefined)
}

/** In mode monitor. */
export function withoutEffect(hook: HookSpec): HookSpec {
  const selectors = hook.selectors.map((selector) => {
    if (selector.actions === undefined) return selector
    const { error, ...others } = selector.actions
    const monitored = { signals: others.signals, ...(error === undefined ? {} : { error }) }
    return { ...selector, actions: { ...others, signals: [], monitored } }
  })
  return { ...hook, selectors }
}

function readAction(place: Place, problems: Problems): One | undefined {
  const fields = Fields.of(place, ACTION_KEYS, problems)
  if (fields === undefined) return undefined
  const action = readActionName(fields, problems)
  const argSig = fields.get('argSig')
  const asked = argSig === undefined ? undefined : asInteger(argSig, 1, MAX_SIGNAL, problems)
  if (action === 'signal' && argSig === undefined) fields.need('argSig', `a signal from 1 to ${MAX_SIGNAL}`)
  const error = readError(fields, action, problems)
  const limit = readLimit(fields, problems)
  if (action === undefined) return undefined
  if (action !== 'signal') warnOfKey(fields, 'argSig', 'Signal', action, problems)
  if (action !== 'override') warnOfKey(fields, 'argError', 'Override', action, problems)
  if (action !== 'post') for (const key of ['rateLimit', 'rateLimitScope']) refuseKey(fields, key, 'Post', problems)
  return { action, signal: action === 'sigkill' ? SIGKILL : (asked ?? 0), error, limit }
}

/** Of Override; EPERM after a mistake, and for a number that is no error, as in Tetragon. */
function readError(fields: Fields, action: Action | undefined, problems: Problems): number {
  if (action !== 'override') return EPERM
  const place = fields.need('argError', `an error from ${MIN_ERROR} to -1, such as -1 (EPERM)`)
  const value = place?.node.kind === 'scalar' ? place.node.value : undefined
  if (place !== undefined && isNoError(value)) {
    const sentence = `${value} is no error (${MIN_ERROR} to -1): the call fails with -1 (EPERM), as in Tetragon`
    problems.warn(place.node.at, `${place.path}: ${sentence}`)
    return EPERM
  }
  return (place === undefined ? undefined : asInteger(place, MIN_ERROR, -1, problems)) ?? EPERM
}

/** What Tetragon's kernel side replaces by EPERM. Not 0: that would be success without the call. */
function isNoError(value: unknown): value is number {
  return (
    Number.isInteger(value) && (Number(value) > 0 || Number(value) < MIN_ERROR) && Math.abs(Number(value)) < 2 ** 31
  )
}

function readActionName(fields: Fields, problems: Problems): Action | undefined {
  const names = [...ACTIONS.keys()]
  const expected = `expected one of ${names.join(', ')}`
  const place = fields.need('action', `one of ${names.join(', ')}`)
  if (place === undefined) return undefined
  const { node, path } = place
  const text = node.kind === 'scalar' ? node.value : undefined
  if (typeof text !== 'string') {
    problems.add(node.at, `${path}: ${expected}, got ${describe(node)}`)
    return undefined
  }
  const action = ACTIONS.get(text)
  if (action !== undefined) return action
  const former = FORMER_ACTIONS.get(text)
  let sentence = `${expected}, got ${show(text)}${didYouMean(text, [...names, ...LATER_ACTIONS])}`
  if (former !== undefined) sentence = `Tetragon no longer has an action ${show(text)}: ${former}`
  else if (ENFORCER_ACTIONS.includes(text)) sentence = `${notSupported('action', text)}; ${INSTEAD_OF_ENFORCERS}`
  else if (LATER_ACTIONS.includes(text)) sentence = `${notSupported('action', text)}; ${expected}`
  problems.add(node.at, `${path}: ${sentence}`)
  return undefined
}

/** A key of another action, which Tetragon accepts and does not look at. */
function warnOfKey(fields: Fields, key: string, owner: string, action: Action, problems: Problems): void {
  if (fields.get(key) === undefined) return
  const name = [...ACTIONS].find(([, value]) => value === action)?.[0] ?? action
  problems.warn(
    fields.keyAt(key),
    `${fields.pathOf(key)}: has no effect with action ${name}, only with ${owner}; drop it`,
  )
}

function refuseKey(fields: Fields, key: string, owner: string, problems: Problems): void {
  if (fields.get(key) === undefined) return
  problems.add(fields.keyAt(key), `${fields.pathOf(key)}: applies to action ${owner} only; drop it`)
}

function readLimit(fields: Fields, problems: Problems): RateLimit | undefined {
  const scopeAt = fields.get('rateLimitScope')
  const scope = scopeAt === undefined ? 'thread' : readName(fields, 'rateLimitScope', SCOPES, problems)
  const place = fields.get('rateLimit')
  if (place === undefined) {
    if (scopeAt !== undefined) {
      problems.warn(fields.keyAt('rateLimitScope'), `${scopeAt.path}: does nothing without rateLimit`)
    }
    return undefined
  }
  const text = asText(place, problems)
  if (text === undefined) return undefined
  const [, digits = '', unit = ''] = /^(\d{1,10})([smh]?)$/i.exec(text) ?? []
  const seconds = Number(digits) * (SECONDS[unit.toLowerCase()] ?? 0)
  if (digits === '' || seconds < 1 || seconds > MAX_SECONDS) {
    const expected = `a time from 1s to ${Math.floor(MAX_SECONDS / 3600)}h, such as 30s, 5m or 1h`
    problems.add(place.node.at, `${place.path}: expected ${expected}, got ${show(text)}`)
    return undefined
  }
  return scope === undefined ? undefined : { ms: 1000 * seconds, scope }
}
