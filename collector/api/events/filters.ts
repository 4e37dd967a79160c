/** The filters of a request for events, as a filter of `exporters/filtering/`. */
import type { ReaderFilter, TetragonFilter } from '../../../exporters/index.ts'
import { EventTypeSchema } from '../../proto/tetragon/events_pb.js'
import type { EventType, Filter, GetEventsRequest } from '../../proto/tetragon/events_pb.js'
import { ApiError } from '../errors.ts'

/** Limit for both lists together, because each filter runs for each process. */
const MAX_FILTERS = 64

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
    (type) => EventTypeSchema.value[type]?.name ?? refuse('event_set', `unknown type of event ${type}`),
  )
  const all: TetragonFilter = {
    event_set: eventSet,
    policy_names: filter.policyNames,
    binary_regex: filter.binaryRegex,
    parent_binary_regex: filter.parentBinaryRegex,
    ancestor_binary_regex: filter.ancestorBinaryRegex,
    arguments_regex: filter.argumentsRegex,
    parent_arguments_regex: filter.parentArgumentsRegex,
    container_id: filter.containerId,
    container_name_regex: filter.containerNameRegex,
    namespace: filter.namespace,
    namespace_regex: filter.namespaceRegex,
    pod_regex: filter.podRegex,
    labels: filter.labels,
    pid: filter.pid,
    pid_set: filter.pidSet,
    in_init_tree: filter.inInitTree,
    health_check: filter.healthCheck,
  }
  const given = Object.entries(all).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  )
  return Object.fromEntries(given)
}

/** Names of event types as in JSON keys: `process_exec`. */
export function kindOf(type: EventType): string | undefined {
  return EventTypeSchema.value[type]?.name.toLowerCase()
}
