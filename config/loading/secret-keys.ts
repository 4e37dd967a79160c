/** Keys whose values are never shown, whatever way they came into the config. */
const KEYS: ReadonlyArray<readonly string[]> = [
  ['exporters', '*', 'headers', '*'],
  ['exporters', '*', 'sasl', 'password'],
]

/** True when the value at `path` may be a secret. */
export function mayBeSecret(path: ReadonlyArray<PropertyKey>): boolean {
  return KEYS.some((key) => key.length === path.length && key.every((part, i) => part === '*' || part === path[i]))
}
