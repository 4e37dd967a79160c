/** Keys and values that the design has and this version does not: refused by name, never taken for a typing slip. */

interface KeyRow {
  readonly path: readonly string[]
  readonly key: string
}

interface ValueRow {
  readonly path: readonly string[]
  readonly value: string
}

const EXPORTER = ['exporters', '*']

const KEYS: readonly KeyRow[] = [
  { path: ['server'], key: 'grpc' },
  ...['allow', 'deny'].flatMap((list) =>
    ['pid_set', 'ancestor_binary_regex', 'capabilities', 'cel_expression'].map((key) => ({
      path: [...EXPORTER, 'filter', list, '*'],
      key,
    })),
  ),
]

const VALUES: readonly ValueRow[] = [{ path: [...EXPORTER, 'format'], value: 'extended' }]

type Path = ReadonlyArray<string | number>

function matches(pattern: readonly string[], path: Path): boolean {
  return pattern.length === path.length && pattern.every((part, i) => part === '*' || part === path[i])
}

/** Known keys of the mapping at `path` that are not built yet. */
export function keysNotBuilt(path: Path): string[] {
  return KEYS.filter((row) => matches(row.path, path)).map((row) => row.key)
}

/** True when `value` is known for the key at `path` but not built yet. */
export function valueNotBuilt(path: Path, value: string): boolean {
  return valuesNotBuilt(path).includes(value)
}

/** Known values of the key at `path` that are not built yet. */
export function valuesNotBuilt(path: Path): string[] {
  return VALUES.filter((row) => matches(row.path, path)).map((row) => row.value)
}
