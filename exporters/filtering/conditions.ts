/**
 * The conditions of a filter, one per config key. A result only depends on the event's kind, its process and its parent, so
 * `filter.ts` can cache it.
 */
import type { Event, Process } from '../contract/event.ts'
import type { FilterConfig, TetragonFilterConfig } from '../../config/agent/schema.ts'
import { globMatcher } from '../../config/agent/filtering/globs.ts'
import { parseSeverity } from '../../config/agent/filtering/severity.ts'
import { ExportError } from '../contract/errors.ts'
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
  /** Tags of the hook; none for other events. */
  readonly tags: readonly string[]
}

export type EventTest = (kind: Kind, process: Process, parent: Process | undefined) => boolean

export interface Condition {
  /** The config key; also the label in metrics. */
  readonly key: keyof FilterConfig
  /** Only depends on the kind. */
  readonly byKind: boolean
  readonly test: EventTest
}

/** Makes the test of each key from its value. */
type Tests<Keys, Test> = { readonly [K in keyof Keys]-?: (value: NonNullable<Keys[K]>, lookup: ProcessLookup) => Test }
/** `byKind`: it only depends on the kind; absent: it does not. */
type Made = Pick<Condition, 'test'> & Partial<Pick<Condition, 'byKind'>>

/** In the order of evaluation. */
const CONDITIONS: Tests<ReaderFilter, Made | undefined> = {
  event_types: (types) => ({ test: oneOf(types, ({ type }) => type), byKind: true }),
  policies: (globs) => {
    const matches = globMatcher(globs)
    return { test: ({ policy }) => policy !== '' && matches(policy), byKind: true }
  },
  severity: (text) => {
    const matches = parseSeverity(text)
    if (matches === undefined) throw new ExportError('UNUSABLE', `expected a severity such as ">= high", got "${text}"`)
    return { test: ({ tags }) => matches(tags), byKind: true }
  },
  tags: (globs) => {
    const matches = globMatcher(globs)
    return { test: ({ tags }) => tags.some(matches), byKind: true }
  },
  namespaces: (globs) => ({ test: inNamespace(globMatcher(globs)) }),
  pods: (globs) => ({ test: inPod('name', globMatcher(globs)) }),
  workloads: (globs) => ({ test: inPod('workload', globMatcher(globs)) }),
  containers: (globs) => ({ test: inContainer('name', globMatcher(globs)) }),
  images: (globs) => ({ test: inContainer('image', globMatcher(globs)) }),
  binaries: (globs) => ({ test: textOf('binary', globMatcher(globs)) }),
  binary_regex: (patterns) => ({ test: textOf('binary', regexMatcher(patterns)) }),
  arguments_regex: (patterns) => ({ test: textOf('arguments', regexMatcher(patterns)) }),
  health_checks: (which) => (which === 'drop' ? { test: healthCheck(false) } : undefined),
  allow: (filters, lookup) => ({ test: anyOf(filters, lookup), byKind: filters.every(isByKind) }),
  deny: (filters, lookup) => {
    const denied = anyOf(filters, lookup)
    return { test: (...event) => !denied(...event), byKind: filters.every(isByKind) }
  },
  sample: (share) => ({ test: (_, { execId }) => inSample(execId, share) }),
}

/** The keys of a Tetragon Filter, all of which must match. */
const TETRAGON: Tests<TetragonFilter, EventTest> = {
  event_set: (types) => oneOf(types, ({ type }) => type.toUpperCase()),
  policy_names: (names) => oneOf(names, ({ policy }) => policy),
  pid: (list) => {
    const pids = new Set(list)
    return (_, { pid }) => pids.has(pid)
  },
  pid_set: (list, lookup) => {
    const pids = new Set(list)
    return (_, process, parent) => pids.has(process.pid) || ancestorsOf(parent, lookup).some(({ pid }) => pids.has(pid))
  },
  in_init_tree: (wanted) => (_, process) => (process.inInitTree ?? false) === wanted,
  namespace: (names) => inNamespace(memberOf(names)),
  health_check: healthCheck,
  labels: (selectors) => {
    const matches = labelMatcher(selectors)
    return (_, { pod, container }) => {
      const { labels } = pod ?? container ?? {}
      return labels !== undefined && matches(labels)
    }
  },
  container_id: (patterns) => textOf('docker', regexMatcher(patterns)),
  namespace_regex: (patterns) => inPod('namespace', regexMatcher(patterns)),
  pod_regex: (patterns) => inPod('name', regexMatcher(patterns)),
  container_name_regex: (patterns) => inContainer('name', regexMatcher(patterns)),
  binary_regex: (patterns) => textOf('binary', regexMatcher(patterns)),
  arguments_regex: (patterns) => textOf('arguments', regexMatcher(patterns)),
  parent_binary_regex: (patterns) => ofParent(textOf('binary', regexMatcher(patterns))),
  parent_arguments_regex: (patterns) => ofParent(textOf('arguments', regexMatcher(patterns))),
  ancestor_binary_regex: (patterns, lookup) => {
    const matches = regexMatcher(patterns)
    return (_, __, parent) => ancestorsOf(parent, lookup).some(({ binary }) => matches(binary))
  },
}

/** The conditions of a filter. An event is counted under the first that fails. */
export function conditionsOf(filter: ReaderFilter, lookup: ProcessLookup): Condition[] {
  return testsOf(CONDITIONS, filter, lookup).flatMap(([key, made]) => (made ? [{ key, byKind: false, ...made }] : []))
}

/** The test of each key that is set, in the order of the table. */
function testsOf<Keys extends object, Test>(
  table: Tests<Keys, Test>,
  filter: Keys,
  lookup: ProcessLookup,
): Array<readonly [keyof Keys, Test]> {
  const names = Object.keys(table) as Array<keyof Keys>
  return names.flatMap((key) => {
    const value = filter[key]
    return value === undefined || value === null ? [] : [[key, table[key](value, lookup)] as const]
  })
}

/** Bounds the work for one process; no sane tree is that deep. */
const MAX_ANCESTORS = 1024

/** The parent and its ancestors, up to the first that is no longer known. */
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
  const isOne = memberOf(wanted)
  return (kind) => isOne(of(kind))
}

const memberOf = (names: readonly string[]): ((text: string) => boolean) => {
  const all = new Set(names)
  return (text) => all.has(text)
}

function textOf(key: 'binary' | 'arguments' | 'docker', matches: (text: string) => boolean): EventTest {
  return (_, process) => matches(process[key])
}

function inNamespace(matches: (text: string) => boolean): EventTest {
  return (_, { pod }) => matches(pod?.namespace ?? '')
}

function ofParent(test: EventTest): EventTest {
  return (kind, _, parent) => parent !== undefined && test(kind, parent, undefined)
}

function inPod(key: 'namespace' | 'name' | 'workload', matches: (text: string) => boolean): EventTest {
  return (_, { pod }) => pod !== undefined && matches(pod[key])
}

/** In a container of a pod, or in one that its runtime describes. */
function inContainer(key: 'name' | 'image', matches: (text: string) => boolean): EventTest {
  return (_, { pod, container: named }) => {
    const container = pod === undefined ? named : pod.container
    return container !== undefined && matches(container[key])
  }
}

function healthCheck(wanted: boolean): EventTest {
  return (_, process, parent) => (process.execProbe === true || parent?.execProbe === true) === wanted
}

function anyOf(filters: readonly TetragonFilter[], lookup: ProcessLookup): EventTest {
  const all = filters.map((filter) => testsOf(TETRAGON, filter, lookup).map(([, test]) => test))
  return (...event) => all.some((tests) => tests.every((test) => test(...event)))
}
