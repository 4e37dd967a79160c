/**
 * Speed of the spool on this disk: `node test/simulation/spool/speed.ts [FOLDER]`, one JSON line each.
 *
 * - frames of 250 events of 1,000 bytes appended, and read back and acked at the same time;
 * - a start with 10 GiB.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { systemClock } from '../../../config/base/time/clock.ts'
import { systemSpoolFiles } from '../../../exporters/buffer/disk/files/files.ts'
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../exporters/buffer/disk/spool.ts'
import { makeLargeSpool } from '../../support/delivery/large-spool.ts'

const EVENTS = 250
const FRAMES = 8000
const root = mkdtempSync(path.join(process.argv[2] ?? tmpdir(), 'spool-speed-'))
try {
  await flow()
  await start()
} finally {
  rmSync(root, { recursive: true, force: true })
}

function open(dir: string): Promise<Spool> {
  return openSpool(
    { dir, fsync: 200, max_size: 64 * 2 ** 30, min_free: 2 ** 30, segment_size: 16 << 20 },
    { files: systemSpoolFiles, clock: systemClock, random: Math.random },
  )
}

async function flow(): Promise<void> {
  const spool = await open(path.join(root, 'flow'))
  const payload = Buffer.alloc(EVENTS * 1000, 'x')
  const started = performance.now()
  const cpu = process.cpuUsage()
  const appending = (async () => {
    for (let i = 0; i < FRAMES; i += 4) {
      const frames = Array.from({ length: 4 }, () => ({ parts: [payload], count: EVENTS, first: 0, last: 0 }))
      const result = await spool.append(frames)
      if (result.status !== 'written') throw new Error(JSON.stringify(result))
    }
  })()
  let read = 0
  while (read < FRAMES * EVENTS) {
    const result = await spool.next(1 << 20)
    if (result.status === 'failed') throw result.error
    if (result.status === 'empty') {
      await new Promise((resolve) => setImmediate(resolve))
      continue
    }
    for (const { count } of result.frames) read += count
    spool.ack(result.token)
  }
  await appending
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const { syncs, lost, imbalance } = spool.stats()
  await spool.close()
  const closed = (performance.now() - started) / 1000
  print('append, read, ack', {
    events: read,
    eventsPerSecond: Math.round(read / seconds),
    eventsPerSecondWithLastSync: Math.round(read / closed),
    cpuMicrosPerEvent: Number(((user + system) / read).toFixed(3)),
    syncs,
    corrupt: lost.corrupt,
    imbalance,
  })
}

async function start(): Promise<void> {
  const dir = path.join(root, 'start')
  makeLargeSpool(dir, 640, 16 << 20)
  global.gc?.()
  const before = process.memoryUsage()
  const started = performance.now()
  const spool = await open(dir)
  const after = process.memoryUsage()
  const { events, bytes } = spool.stats()
  print('start with 10 GiB', {
    milliseconds: Math.round(performance.now() - started),
    rssMiB: (after.rss - before.rss) / 2 ** 20,
    heapAndBuffersMiB: (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / 2 ** 20,
    gib: bytes / 2 ** 30,
    events,
    tornBytes: spool.recovery.tornBytes,
  })
  await spool.close()
}

function print(what: string, figures: Readonly<Record<string, number>>): void {
  console.log(JSON.stringify({ what, node: process.version, ...figures }))
}
