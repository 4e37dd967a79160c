import { randomBytes } from 'node:crypto'

/**
 * A name for this run of the agent: with an event's sequence number it names the event for ever. The start time first, so
 * that epochs sort, then chance, so that two hosts or two starts in one millisecond never share one. 14 characters.
 */
export function createEpoch(nowMs = Date.now()): string {
  return `${nowMs.toString(36).padStart(9, '0')}${randomBytes(4).readUInt32LE().toString(36).padStart(7, '0').slice(-5)}`
}
