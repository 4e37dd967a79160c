/**
 * Whether a process is in the sample. Depends only on its exec id, so it is the same for all exporters and after a restart.
 * Processes in a sample of 0.1 are also in one of 0.5.
 */
export function inSample(execId: string, fraction: number): boolean {
  return hash(execId) < fraction * 2 ** 32
}

/** FNV-1a over UTF-16 units, then murmur3's finish: ids differ in their last characters, which FNV alone distributes badly. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
