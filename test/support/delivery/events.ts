/** Events that contain their own number, in each encoding. */
import type { Event } from '../../../exporters/contract/event.ts'
import { file, int, makeHook, makeKprobe, makeParent, makeProcess } from '../../unit/exporters/support/events.ts'

const hook = makeHook()
const process = makeProcess()
const parent = makeParent()

/** The event of this number; it happened at `ms` since 1970. */
export function eventAt(seq: number, ms: number): Event {
  const time = { sec: Math.floor(ms / 1000), nsec: Math.floor((ms % 1000) * 1e6) }
  return makeKprobe({ seq, time, process, parent, hook, args: [file(`/seq/${seq}`), int(4)] })
}

const PATH = /"\/seq\/(\d+)"/

/** Numbers of JSON lines, in order; throws at a torn line. */
export function numbersIn(lines: string): number[] {
  if (lines === '') return []
  if (!lines.endsWith('\n')) throw new Error(`the last line is torn: ${lines.slice(-80)}`)
  return lines.slice(0, -1).split('\n').map(numberIn)
}

/** Number of one JSON line. */
export function numberIn(line: string): number {
  const found = PATH.exec(line)?.[1]
  if (found === undefined || !line.startsWith('{') || !line.endsWith('}')) throw new Error(`no event: ${line}`)
  return Number(found)
}
