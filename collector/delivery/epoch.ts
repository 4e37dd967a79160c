import { randomBytes } from 'node:crypto'

/**
 * Identifies this run of the agent; with a sequence number it identifies an event for ever. 14 characters: the start time, so that epochs
 * sort, then random characters, so that two hosts or two starts within one millisecond differ.
 */
export function createEpoch(nowMs = Date.now()): string {
  return `${nowMs.toString(36).padStart(9, '0')}${randomBytes(4).readUInt32LE().toString(36).padStart(7, '0').slice(-5)}`
}
