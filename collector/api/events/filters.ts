/** The filters of a request for events, as a filter of `exporters/filtering/`. */
import type { ReaderFilter, TetragonFilter } from '../../../exporters/index.ts'
import { EventTypeSchema } from '../../proto/tetragon/events_pb.js'
import type { EventType, Filter, GetEventsRequest } from '../../proto/tetragon/events_pb.js'
import { ApiError } from '../errors.ts'

/** Limit for both lists together, because each filter runs for each process. */
const MAX_FILTERS = 64

const EVENT_TYPES: ReadonlyMap<number, string> = new Map(
  EventTypeSchema.values.map(({ number, name }) => [number, name]),
)

/** undefined: all events. Throws ApiError for what ktrail cannot filter by. */
export function filterOf({ allowList, denyList }: GetEventsRequest): ReaderFilter | undefined {
  const count = allowList.length + denyList.length
  if (count > MAX_FILTERS) {
    throw new ApiError('INVALID_ARGUMENT', `expected at most ${MAX_FILTERS} filters, got ${count}`)
  }
  const allow = allowList.map((filter, i) => tetragonFilter(filter, `allow_list[${i}]`))
  const deny = denyList.map((filter, i) => tetragonFilter(filter, `deny_list[${i}]`))
  const filter = {
    // An empty filter matches everything, and one that matches everything makes the list void.
    ...(allow.some(isEmpty) || allow.length === 0 ? {} : { allow }),
    ...(deny.length === 0 ? {} : { deny }),
  }
  return Object.keys(filter).length === 0 ? undefined : filter
}

function isEmpty(filter: TetragonFilter): boolean {
  return Object.keys(filter).length === 0
}

function tetragonFilter(filter: Filter, at: string): TetragonFilter {
  const refuse = (key: string, why: string): never => {
    throw new ApiError('INVALID_ARGUMENT', `${at}.${key}: ${why}`)
  }
  if (filter.celExpression.length > 0) {
    refuse('cel_expression', 'ktrail does not evaluate CEL: use the other keys, or filter the received events')
  }
  if (filter.capabilities !== undefined) {
    refuse('capabilities', 'ktrail does not filter by capabilities of processes: remove the key')
  }
  const eventSet = filter.eventSet.map(
    (type) => EVENT_TYPES.get(type) ?? refuse('event_set', `unknown type of event ${type}`),
  )
  return {
    ...texts('event_set', eventSet),
    ...texts('policy_names', filter.policyNames),
    ...texts('binary_regex', filter.binaryRegex),
    ...texts('parent_binary_regex', filter.parentBinaryRegex),
    ...texts('ancestor_binary_regex', filter.ancestorBinaryRegex),
    ...texts('arguments_regex', filter.argumentsRegex),
    ...texts('parent_arguments_regex', filter.parentArgumentsRegex),
    ...texts('container_id', filter.containerId),
    ...texts('container_name_regex', filter.containerNameRegex),
    ...texts('namespace', filter.namespace),
    ...texts('namespace_regex', filter.namespaceRegex),
    ...texts('pod_regex', filter.podRegex),
    ...texts('labels', filter.labels),
    ...(filter.pid.length === 0 ? {} : { pid: filter.pid }),
    ...(filter.pidSet.length === 0 ? {} : { pid_set: filter.pidSet }),
    ...(filter.inInitTree === undefined ? {} : { in_init_tree: filter.inInitTree }),
    ...(filter.healthCheck === undefined ? {} : { health_check: filter.healthCheck }),
  }
}

/** An object with the key; the key is absent without values. */
function texts<K extends string>(key: K, values: string[]): { [key in K]?: string[] } {
  return values.length === 0 ? {} : ({ [key]: values } as { [key in K]?: string[] })
}

/** Names of event types as in JSON keys: `process_exec`. */
export function kindOf(type: EventType): string | undefined {
  return EVENT_TYPES.get(type)?.toLowerCase()
}
