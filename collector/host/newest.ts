/** Maps with a bound, in the order of use. */

/** Puts an entry as the newest; beyond `most` entries, the oldest is forgotten. */
export function putNewest<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= most) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
