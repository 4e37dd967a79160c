/** The keys of a filter that need known pods or containers. */
import type { Path } from './loading/explain.ts'
import type { FilterConfig } from './schema.ts'

const POD_KEYS: ReadonlyArray<keyof FilterConfig> = ['pods', 'workloads', 'health_checks']
const POD_FILTER_KEYS = ['namespace_regex', 'pod_regex', 'health_check']
/** Fulfilled by either. */
const CONTAINER_KEYS: ReadonlyArray<keyof FilterConfig> = ['containers', 'images']
const CONTAINER_FILTER_KEYS = ['container_name_regex', 'labels']

/** The keys of a filter that need pods, as paths below `filter`. */
export function podKeys(filter: FilterConfig): Path[] {
  const keys = keysIn(filter, POD_KEYS, POD_FILTER_KEYS)
  if (filter.namespaces?.some((name) => name !== '') === true) keys.push(['namespaces'])
  for (const list of ['allow', 'deny'] as const) {
    for (const [i, each] of (filter[list] ?? []).entries()) {
      if (each.namespace?.some((name) => name !== '') === true) keys.push([list, i, 'namespace'])
    }
  }
  return keys
}

/** The keys of a filter that need pods or containers. */
export function containerKeys(filter: FilterConfig): Path[] {
  return keysIn(filter, CONTAINER_KEYS, CONTAINER_FILTER_KEYS)
}

function keysIn(filter: FilterConfig, own: ReadonlyArray<keyof FilterConfig>, inLists: readonly string[]): Path[] {
  const keys: Path[] = own.filter((key) => filter[key] !== undefined).map((key) => [key])
  for (const list of ['allow', 'deny'] as const) {
    for (const [i, each] of (filter[list] ?? []).entries()) {
      keys.push(...inLists.filter((key) => Object.hasOwn(each, key)).map((key) => [list, i, key]))
    }
  }
  return keys
}
