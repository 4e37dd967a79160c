/** The keys of a filter that need known pods or containers. */
import type { Path } from './loading/explain.ts'
import type { FilterConfig } from './schema.ts'

/** Keys of the filter itself, then keys of those in its lists allow and deny. Pods fulfil a need of containers, too. */
const KEYS = {
  pods: [
    ['pods', 'workloads', 'health_checks', 'namespaces'],
    ['namespace_regex', 'pod_regex', 'health_check', 'namespace'],
  ],
  containers: [
    ['containers', 'images'],
    ['container_name_regex', 'labels'],
  ],
} as const

/** A namespace "" means outside of pods, and needs none. */
const needs = (mapping: object, key: string): boolean =>
  [Reflect.get(mapping, key)].flat().some((value) => value !== undefined && value !== '')

/** The first key that needs pods or containers, as a path below `filter`. */
export function keyThatNeeds(what: keyof typeof KEYS, filter: FilterConfig): Path | undefined {
  const [own, inLists] = KEYS[what]
  const paths: Path[] = own.filter((key) => needs(filter, key)).map((key) => [key])
  for (const list of ['allow', 'deny'] as const) {
    for (const [i, each] of (filter[list] ?? []).entries())
      paths.push(...inLists.filter((key) => needs(each, key)).map((key) => [list, i, key]))
  }
  return paths[0]
}
