/** Holds a spool until its standard input ends: `node hold-spool.ts FOLDER`. Prints a line once it has it. */
import { systemClock } from '../../../../../config/base/time/clock.ts'
import { systemSpoolFiles } from '../../../../../exporters/buffer/disk/files/files.ts'
import { openSpool } from '../../../../../exporters/buffer/disk/spool.ts'

const spool = await openSpool(
  { dir: process.argv[2] ?? '', fsync: 'never', max_size: 1 << 30, min_free: 0, segment_size: 16 << 20 },
  { files: systemSpoolFiles, clock: systemClock, random: Math.random },
)
console.log('held')
for await (const _ of process.stdin) continue
await spool.close()
