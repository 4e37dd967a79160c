/** Encoded values with the sequence number in each line, to check the lines that a sink received. */
import type { Encoded } from '../contract/exporter.ts'

/** `count` lines `{"id":N}` from `firstSeq` on, each padded to at least `lineBytes`. */
export function lines(firstSeq: number, count: number, lineBytes = 0): Encoded {
  const texts = Array.from({ length: count }, (_, i) => `${`{"id":${firstSeq + i}`.padEnd(lineBytes - 2)}}\n`)
  let end = 0
  const ends = Uint32Array.from(texts, (line) => (end += line.length))
  return { encoding: 'json', bytes: Buffer.from(texts.join('')), ends, count, firstSeq }
}

/** The ids in the lines; throws for a torn line. */
export function idsOf(text: string): number[] {
  if (text === '') return []
  if (!text.endsWith('\n')) throw new Error(`torn last line: ${text.slice(-40)}`)
  return text.slice(0, -1).split('\n').map(idOf)
}

function idOf(line: string): number {
  const value: unknown = JSON.parse(line)
  if (typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number') return value.id
  throw new Error(`not a numbered line: ${line}`)
}

/** `from`, `from + 1`, … below `to`. */
export const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
