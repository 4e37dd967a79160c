/** A large spool that uses little disk: sparse segments with a real header and a real first frame, the last one full of frames. */
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import {
  encodeFrameHead,
  encodeHeader,
  FIRST_FRAME,
  FRAME_HEAD,
  segmentName,
} from '../../../exporters/buffer/disk/format/format.ts'

const FRAME_EVENTS = 250
const PAYLOAD = Buffer.alloc(FRAME_EVENTS * 1000, 'x')

/** Makes it in the folder `dir`. Returns the number of events that a start has to find. */
export function makeLargeSpool(dir: string, segments: number, segmentBytes: number): number {
  mkdirSync(dir, { recursive: true })
  const frames = Math.floor((segmentBytes - FIRST_FRAME) / (FRAME_HEAD + PAYLOAD.length))
  for (let number = 1; number <= segments; number++) {
    const fd = openSync(path.join(dir, segmentName(number)), 'wx', 0o600)
    const base = (number - 1) * frames * FRAME_EVENTS
    const header = { number, createdMs: Date.now(), base, salt: number, firstMark: base, previousMark: 0, epoch: '' }
    writeSync(fd, encodeHeader(header))
    for (let i = 0; i < (number === segments ? frames : 1); i++) {
      const place = { seq: base + i * FRAME_EVENTS, count: FRAME_EVENTS, first: 0, last: 0, packed: false }
      writeSync(fd, encodeFrameHead(place, [PAYLOAD], number))
      writeSync(fd, PAYLOAD)
    }
    // Zeros after the last frame would be a torn record.
    if (number < segments) ftruncateSync(fd, segmentBytes)
    closeSync(fd)
  }
  // Synced as a start finds them; the start itself would sync dirty pages.
  execFileSync('sync', ['-f', dir])
  return segments * frames * FRAME_EVENTS
}
