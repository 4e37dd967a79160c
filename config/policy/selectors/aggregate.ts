/** `aggregate` of a hook: equal calls of a process have one event, with their count. An addition of ours to Tetragon's language. */
import { show } from '../../yaml/problems.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import { Fields, asList, asText } from '../fields.ts'
import type { Actions, Aggregate, HookSpec, Policy, Selector } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { enforces } from './actions.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }
const [MIN_MS, MAX_MS] = [250, 30 * 60_000] as const
/** Properties that make calls equal. */
export const AGGREGATE_BY = ['process', 'file', 'kind'] as const

/**
 * The policy for an estimate of its events: no call gets a signal or fails. `counts`: equal calls within a second have one event, except where single
 * calls decide, and in policies that aggregate.
 */
export function estimating(policy: Policy, counts: boolean): Policy {
  const counted = counts && policy.hooks.every(({ aggregate }) => aggregate === undefined)
  const hooks = policy.hooks
    .filter((hook) => !enforces(hook))
    .map((hook): HookSpec => {
      const selectors = hook.selectors.map(withoutSignals)
      if (!counted || !isCountable({ ...hook, selectors })) return { ...hook, selectors }
      return { ...hook, selectors, aggregate: { windowMs: 1000, byFile: true, byKind: false, at: hook.at } }
    })
  return { ...policy, hooks }
}

function withoutSignals({ actions, ...selector }: Selector): Selector {
  if (actions === undefined || (actions.reports && actions.limit === undefined)) return selector
  const { last, reports, limit } = actions
  return { ...selector, actions: { last, signals: [], reports, limit } }
}

/** Whether `aggregate` would not change the number of calls that have an event. */
const isCountable = ({ type, selectors }: HookSpec): boolean =>
  (type === 'kprobe' || type === 'lsm') &&
  selectors.every(({ actions, matchReturnArgs }) => actions?.limit === undefined && matchReturnArgs === undefined)

/** Undefined: each call has an event. */
export function readAggregate(fields: Fields, selectors: readonly Selector[]): Aggregate | undefined {
  const place = fields.get('aggregate')
  const own = place && Fields.of(place, KEYS.aggregate)
  if (place === undefined || own === undefined) return undefined
  const windowMs = readWindow(own)
  const by = readBy(own)
  if (selectors.some(({ actions }) => actions !== undefined && doesMore(actions))) {
    const sentence =
      'cannot be combined with rateLimit or actions other than Post and NoPost; use a second hook on the same call'
    fields.refuse('aggregate', sentence)
  }
  if (selectors.some(({ matchReturnArgs }) => matchReturnArgs !== undefined)) {
    const sentence =
      'cannot be combined with matchReturnArgs, which applies to single calls; use a second hook on the same call'
    fields.refuse('aggregate', sentence)
  }
  return { windowMs, byFile: by.has('file'), byKind: by.has('kind'), at: place.node.at }
}

const doesMore = ({ limit, signals, error, notify }: Actions): boolean =>
  limit !== undefined || signals.length > 0 || error !== undefined || notify !== undefined

function readWindow(fields: Fields): number {
  const expected = `a time from ${MIN_MS}ms to ${MAX_MS / 60_000}m, such as 10s`
  const place = fields.needText('window', expected)
  if (place === undefined) return 1000
  const { text } = place
  const [, digits = '', unit = ''] = /^(\d{1,6})(ms|s|m)$/.exec(text) ?? []
  const ms = Number(digits) * (UNITS[unit] ?? 0)
  if (ms >= MIN_MS && ms <= MAX_MS) return ms
  place.refuse(`expected ${expected}, got ${show(text)}`)
  return 1000
}

function readBy(fields: Fields): ReadonlySet<string> {
  const list = fields.get('by')
  if (list === undefined) return new Set(AGGREGATE_BY)
  const by = new Set<string>()
  for (const place of asList(list, AGGREGATE_BY.length)) {
    const text = asText(place)
    if (text === undefined) continue
    if (AGGREGATE_BY.some((name) => name === text)) by.add(text)
    else {
      place.refuse(`expected one of ${AGGREGATE_BY.join(', ')}, got ${show(text)}${didYouMean(text, AGGREGATE_BY)}`)
    }
  }
  if (list.node.kind === 'list' && !by.has('process')) {
    list.refuse('expected process in the list, because an event is of one process')
  }
  return by
}
