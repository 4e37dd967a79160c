/** Opens the given spool in a process that does nothing else, and prints the time and memory used, as JSON. */
import { systemClock } from '../../../config/base/time/clock.ts'
import { systemSpoolFiles } from '../../../exporters/buffer/disk/files/files.ts'
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'

/** Largest resident set so far, in KiB. */
const peak = (): number => process.resourceUsage().maxRSS

const [dir = ''] = process.argv.slice(2)
const before = peak()
const started = performance.now()
const spool = await openSpool(
  { dir, fsync: 200, max_size: 2 ** 40, min_free: 0, segment_size: 16 << 20 },
  { files: systemSpoolFiles, clock: systemClock, random: Math.random },
)
const openedMs = performance.now() - started
const openPeakKiB = peak() - before
const first = await spool.next(1 << 20)
const { events, bytes, segments } = spool.stats()
const readMs = performance.now() - started
const readPeakKiB = peak() - before
console.log(
  JSON.stringify({ openedMs, openPeakKiB, readMs, readPeakKiB, events, bytes, segments, first: first.status }),
)
await spool.close()
