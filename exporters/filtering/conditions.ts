/**
 * What a filter asks of an event, one condition a key. An answer depends on nothing but the event's kind, its process and the
 * parent of that, which is what allows `filter.ts` to keep it.
 */
import type { Event, Pod, Process } from '../contract/event.ts'
import type { FilterConfig, TetragonFilterConfig } from '../../config/agent/schema.ts'
import { globMatcher } from './globs.ts'
import { labelMatcher } from './labels.ts'
import { regexMatcher } from './regexes.ts'
import { inSample } from './sample.ts'

/** What is the same for all events of a type and policy. */
export interface Kind {
  readonly type: Event['type']
  /** '' for events that belong to no policy. */
  readonly policy: string
}

export type Asks = (kind: Kind, process: Process, parent: Process | undefined) => boolean

export interface Condition {
  /** The key in the config; also the label of what it counts. */
  readonly key: keyof FilterConfig
  /** It looks at the kind alone. */
  readonly byKind: boolean
  readonly asks: Asks
}

type PodTest = (pod: Pod) => boolean

/** The conditions of a filter, in the order in which they are asked: the first that says no is the one that counts. */
export function conditionsOf(filter: FilterConfig): Condition[] {
  const all: Condition[] = []
  const add = (key: keyof FilterConfig, asks: Asks, byKind = false): void => void all.push({ key, byKind, asks })
  const { allow, deny, sample } = filter
  if (filter.event_types !== undefined)
    add(
      'event_types',
      oneOf(filter.event_types, ({ type }) => type),
      true,
    )
  if (filter.policies !== undefined) {
    const known = globMatcher(filter.policies)
    add('policies', ({ policy }) => policy !== '' && known(policy), true)
  }
  if (filter.namespaces !== undefined) {
    const known = globMatcher(filter.namespaces)
    add('namespaces', (_, { pod }) => known(pod?.namespace ?? ''))
  }
  if (filter.pods !== undefined) add('pods', inPod(podName(globMatcher(filter.pods))))
  if (filter.binaries !== undefined) {
    const known = globMatcher(filter.binaries)
    add('binaries', (_, { binary }) => known(binary))
  }
  if (filter.binary_regex !== undefined) add('binary_regex', binaryOf(filter.binary_regex))
  if (filter.arguments_regex !== undefined) add('arguments_regex', argumentsOf(filter.arguments_regex))
  if (filter.health_checks === 'drop') add('health_checks', healthCheck(false))
  if (allow !== undefined) add('allow', anyOf(allow.map(tetragonFilter)), allow.every(isByKind))
  if (deny !== undefined) {
    const denied = anyOf(deny.map(tetragonFilter))
    add('deny', (...event) => !denied(...event), deny.every(isByKind))
  }
  if (sample !== undefined) add('sample', (_, { execId }) => inSample(execId, sample))
  return all
}

/** All keys of a Tetragon Filter must match. */
function tetragonFilter(filter: TetragonFilterConfig): Asks {
  const asks: Asks[] = []
  if (filter.event_set !== undefined) asks.push(oneOf(filter.event_set, ({ type }) => type.toUpperCase()))
  if (filter.policy_names !== undefined) asks.push(oneOf(filter.policy_names, ({ policy }) => policy))
  if (filter.pid !== undefined) {
    const pids = new Set(filter.pid)
    asks.push((_, { pid }) => pids.has(pid))
  }
  if (filter.in_init_tree !== undefined) {
    const wanted = filter.in_init_tree
    asks.push((_, { inInitTree }) => (inInitTree ?? false) === wanted)
  }
  if (filter.namespace !== undefined) {
    const names = new Set(filter.namespace)
    asks.push((_, { pod }) => names.has(pod?.namespace ?? ''))
  }
  if (filter.health_check !== undefined) asks.push(healthCheck(filter.health_check))
  if (filter.labels !== undefined) {
    const known = labelMatcher(filter.labels)
    asks.push(inPod(({ labels }) => known(labels ?? {})))
  }
  if (filter.container_id !== undefined) {
    const known = regexMatcher(filter.container_id)
    asks.push((_, { docker }) => known(docker))
  }
  if (filter.namespace_regex !== undefined) {
    const known = regexMatcher(filter.namespace_regex)
    asks.push(inPod(({ namespace }) => known(namespace)))
  }
  if (filter.pod_regex !== undefined) asks.push(inPod(podName(regexMatcher(filter.pod_regex))))
  if (filter.container_name_regex !== undefined) {
    const known = regexMatcher(filter.container_name_regex)
    asks.push(inPod(({ container }) => container !== undefined && known(container)))
  }
  if (filter.binary_regex !== undefined) asks.push(binaryOf(filter.binary_regex))
  if (filter.arguments_regex !== undefined) asks.push(argumentsOf(filter.arguments_regex))
  if (filter.parent_binary_regex !== undefined) asks.push(ofParent(binaryOf(filter.parent_binary_regex)))
  if (filter.parent_arguments_regex !== undefined) {
    asks.push(ofParent(argumentsOf(filter.parent_arguments_regex)))
  }
  return allOf(asks)
}

const KIND_KEYS = ['event_set', 'policy_names']

function isByKind(filter: TetragonFilterConfig): boolean {
  return Object.keys(filter).every((key) => KIND_KEYS.includes(key))
}

function oneOf(wanted: readonly string[], of: (kind: Kind) => string): Asks {
  const names = new Set(wanted)
  return (kind) => names.has(of(kind))
}

function binaryOf(patterns: readonly string[]): Asks {
  const known = regexMatcher(patterns)
  return (_, { binary }) => known(binary)
}

function argumentsOf(patterns: readonly string[]): Asks {
  const known = regexMatcher(patterns)
  return (_, process) => known(process.arguments)
}

function ofParent(asks: Asks): Asks {
  return (kind, _, parent) => parent !== undefined && asks(kind, parent, undefined)
}

function inPod(test: PodTest): Asks {
  return (_, { pod }) => pod !== undefined && test(pod)
}

function podName(known: (text: string) => boolean): PodTest {
  return ({ name }) => known(name)
}

function healthCheck(wanted: boolean): Asks {
  return (_, process, parent) => (mayBeProbe(process) || mayBeProbe(parent)) === wanted
}

function mayBeProbe(process: Process | undefined): boolean {
  return process?.pod?.execProbe === true
}

function anyOf(all: readonly Asks[]): Asks {
  return (...event) => all.some((asks) => asks(...event))
}

function allOf(all: readonly Asks[]): Asks {
  return (...event) => all.every((asks) => asks(...event))
}
