import type { FilterConfig } from '../schema.ts'

const POD_KEYS: ReadonlyArray<keyof FilterConfig> = ['pods', 'health_checks']
const POD_FILTER_KEYS = ['namespace_regex', 'pod_regex', 'container_name_regex', 'labels', 'health_check']

type Path = ReadonlyArray<string | number>

/** The keys of a filter that need pods, as paths below `filter`. */
export function podKeys(filter: FilterConfig): Path[] {
  const keys: Path[] = POD_KEYS.filter((key) => filter[key] !== undefined).map((key) => [key])
  if (filter.namespaces?.some((name) => name !== '') === true) keys.push(['namespaces'])
  for (const list of ['allow', 'deny'] as const) {
    for (const [i, each] of (filter[list] ?? []).entries()) {
      const own = Object.keys(each).filter((key) => POD_FILTER_KEYS.includes(key))
      if (each.namespace?.some((name) => name !== '') === true) own.push('namespace')
      keys.push(...own.map((key) => [list, i, key]))
    }
  }
  return keys
}
