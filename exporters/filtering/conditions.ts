/**
 * The conditions of a filter, one per config key. A result only depends on the event's kind, its process and its parent, so
 * `filter.ts` can cache it.
 */
import type { Event, Pod, Process } from '../contract/event.ts'
import type { FilterConfig, TetragonFilterConfig } from '../../config/agent/schema.ts'
import { globMatcher } from './globs.ts'
import { labelMatcher } from './labels.ts'
import { regexMatcher } from './regexes.ts'
import { inSample } from './sample.ts'

/** A filter of Tetragon, with the keys that only live readers have: they need the processes of the agent. */
export interface TetragonFilter extends Omit<TetragonFilterConfig, 'event_set'> {
  readonly event_set?: readonly string[] | undefined
  readonly pid_set?: readonly number[] | undefined
  readonly ancestor_binary_regex?: readonly string[] | undefined
}

/** A filter of a live reader. */
export interface ReaderFilter extends Omit<FilterConfig, 'allow' | 'deny'> {
  readonly allow?: readonly TetragonFilter[] | undefined
  readonly deny?: readonly TetragonFilter[] | undefined
}

/** The process with this `exec_id`; undefined when it is no longer known. */
export type ProcessLookup = (execId: string) => Process | undefined

export interface Kind {
  readonly type: Event['type']
  /** '' for events that belong to no policy. */
  readonly policy: string
}

export type EventTest = (kind: Kind, process: Process, parent: Process | undefined) => boolean

export interface Condition {
  /** The config key; also the label in metrics. */
  readonly key: keyof FilterConfig
  /** Only depends on the kind. */
  readonly byKind: boolean
  readonly test: EventTest
}

type PodTest = (pod: Pod) => boolean

/** The conditions of a filter, in the order of evaluation. An event is counted under the first that fails. */
export function conditionsOf(filter: ReaderFilter, lookup: ProcessLookup): Condition[] {
  const all: Condition[] = []
  const add = (key: keyof FilterConfig, test: EventTest, byKind = false): void => void all.push({ key, byKind, test })
  const { allow, deny, sample } = filter
  if (filter.event_types !== undefined)
    add(
      'event_types',
      oneOf(filter.event_types, ({ type }) => type),
      true,
    )
  if (filter.policies !== undefined) {
    const matches = globMatcher(filter.policies)
    add('policies', ({ policy }) => policy !== '' && matches(policy), true)
  }
  if (filter.namespaces !== undefined) {
    const matches = globMatcher(filter.namespaces)
    add('namespaces', (_, { pod }) => matches(pod?.namespace ?? ''))
  }
  if (filter.pods !== undefined) add('pods', inPod(podName(globMatcher(filter.pods))))
  if (filter.workloads !== undefined) {
    const matches = globMatcher(filter.workloads)
    add(
      'workloads',
      inPod(({ workload }) => matches(workload)),
    )
  }
  if (filter.containers !== undefined) add('containers', inContainer('name', globMatcher(filter.containers)))
  if (filter.images !== undefined) add('images', inContainer('image', globMatcher(filter.images)))
  if (filter.binaries !== undefined) {
    const matches = globMatcher(filter.binaries)
    add('binaries', (_, { binary }) => matches(binary))
  }
  if (filter.binary_regex !== undefined) add('binary_regex', binaryOf(filter.binary_regex))
  if (filter.arguments_regex !== undefined) add('arguments_regex', argumentsOf(filter.arguments_regex))
  if (filter.health_checks === 'drop') add('health_checks', healthCheck(false))
  if (allow !== undefined) add('allow', anyOf(allow.map((each) => tetragonFilter(each, lookup))), allow.every(isByKind))
  if (deny !== undefined) {
    const denied = anyOf(deny.map((each) => tetragonFilter(each, lookup)))
    add('deny', (...event) => !denied(...event), deny.every(isByKind))
  }
  if (sample !== undefined) add('sample', (_, { execId }) => inSample(execId, sample))
  return all
}

/** All keys of a Tetragon Filter must match. */
function tetragonFilter(filter: TetragonFilter, lookup: ProcessLookup): EventTest {
  const tests: EventTest[] = []
  if (filter.event_set !== undefined) tests.push(oneOf(filter.event_set, ({ type }) => type.toUpperCase()))
  if (filter.policy_names !== undefined) tests.push(oneOf(filter.policy_names, ({ policy }) => policy))
  if (filter.pid !== undefined) {
    const pids = new Set(filter.pid)
    tests.push((_, { pid }) => pids.has(pid))
  }
  if (filter.pid_set !== undefined) {
    const pids = new Set(filter.pid_set)
    const isIn = ({ pid }: Process): boolean => pids.has(pid)
    tests.push((_, process, parent) => isIn(process) || ancestorsOf(parent, lookup).some(isIn))
  }
  if (filter.in_init_tree !== undefined) {
    const wanted = filter.in_init_tree
    tests.push((_, { inInitTree }) => (inInitTree ?? false) === wanted)
  }
  if (filter.namespace !== undefined) {
    const names = new Set(filter.namespace)
    tests.push((_, { pod }) => names.has(pod?.namespace ?? ''))
  }
  if (filter.health_check !== undefined) tests.push(healthCheck(filter.health_check))
  if (filter.labels !== undefined) {
    const matches = labelMatcher(filter.labels)
    tests.push((_, { pod, container }) => {
      const { labels } = pod ?? container ?? {}
      return labels !== undefined && matches(labels)
    })
  }
  if (filter.container_id !== undefined) {
    const matches = regexMatcher(filter.container_id)
    tests.push((_, { docker }) => matches(docker))
  }
  if (filter.namespace_regex !== undefined) {
    const matches = regexMatcher(filter.namespace_regex)
    tests.push(inPod(({ namespace }) => matches(namespace)))
  }
  if (filter.pod_regex !== undefined) tests.push(inPod(podName(regexMatcher(filter.pod_regex))))
  if (filter.container_name_regex !== undefined) {
    tests.push(inContainer('name', regexMatcher(filter.container_name_regex)))
  }
  if (filter.binary_regex !== undefined) tests.push(binaryOf(filter.binary_regex))
  if (filter.arguments_regex !== undefined) tests.push(argumentsOf(filter.arguments_regex))
  if (filter.parent_binary_regex !== undefined) tests.push(ofParent(binaryOf(filter.parent_binary_regex)))
  if (filter.parent_arguments_regex !== undefined) {
    tests.push(ofParent(argumentsOf(filter.parent_arguments_regex)))
  }
  if (filter.ancestor_binary_regex !== undefined) {
    const matches = regexMatcher(filter.ancestor_binary_regex)
    tests.push((_, __, parent) => ancestorsOf(parent, lookup).some(({ binary }) => matches(binary)))
  }
  return allOf(tests)
}

/** Bounds the work for one process; no sane tree is that deep. */
const MAX_ANCESTORS = 1024

/** The parent and what came before it, up to the first that is no longer known. */
function ancestorsOf(parent: Process | undefined, lookup: ProcessLookup): Process[] {
  const found: Process[] = []
  for (let at = parent; at !== undefined && found.length < MAX_ANCESTORS; at = lookup(at.parentExecId)) found.push(at)
  return found
}

const KIND_KEYS = ['event_set', 'policy_names']

function isByKind(filter: TetragonFilter): boolean {
  return Object.keys(filter).every((key) => KIND_KEYS.includes(key))
}

function oneOf(wanted: readonly string[], of: (kind: Kind) => string): EventTest {
  const names = new Set(wanted)
  return (kind) => names.has(of(kind))
}

function binaryOf(patterns: readonly string[]): EventTest {
  const matches = regexMatcher(patterns)
  return (_, { binary }) => matches(binary)
}

function argumentsOf(patterns: readonly string[]): EventTest {
  const matches = regexMatcher(patterns)
  return (_, process) => matches(process.arguments)
}

function ofParent(test: EventTest): EventTest {
  return (kind, _, parent) => parent !== undefined && test(kind, parent, undefined)
}

function inPod(test: PodTest): EventTest {
  return (_, { pod }) => pod !== undefined && test(pod)
}

/** In a container of a pod, or in one that its runtime describes. */
function inContainer(key: 'name' | 'image', matches: (text: string) => boolean): EventTest {
  return (_, { pod, container: named }) => {
    const container = pod === undefined ? named : pod.container
    return container !== undefined && matches(container[key])
  }
}

function podName(matches: (text: string) => boolean): PodTest {
  return ({ name }) => matches(name)
}

function healthCheck(wanted: boolean): EventTest {
  return (_, process, parent) => (mayBeProbe(process) || mayBeProbe(parent)) === wanted
}

function mayBeProbe(process: Process | undefined): boolean {
  return process?.execProbe === true
}

function anyOf(all: readonly EventTest[]): EventTest {
  return (...event) => all.some((test) => test(...event))
}

function allOf(all: readonly EventTest[]): EventTest {
  return (...event) => all.every((test) => test(...event))
}
