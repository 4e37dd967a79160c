/** Planned keys that this version does not have: refused by name, not as a typing slip. */

type Path = readonly PropertyKey[]

/** Results of `formOf`. */
const KEYS: ReadonlySet<string> = new Set(
  ['allow', 'deny'].flatMap((list) =>
    ['pid_set', 'ancestor_binary_regex', 'capabilities', 'cel_expression'].map(
      (key) => `exporters.*.filter.${list}.*.${key}`,
    ),
  ),
)

/** A path with `*` for an exporter's name and for an index of a list. */
export function formOf(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' || (i === 1 && path[0] === 'exporters') ? '*' : String(part)))
    .join('.')
}

/** True when the key at the end of `path` is planned. */
export function keyNotBuilt(path: Path): boolean {
  return KEYS.has(formOf(path))
}
