/** The optional disk queue of each exporter. */
import { join } from 'node:path'
import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { DAY_MS, KIB, MIB, duration, size } from '../../base/units.ts'

export const spool = z
  .strictObject({
    dir: pathSchema('Folder of the spools. Each exporter has its own subfolder, so several may use the same folder.'),
    use: z
      .enum(['overflow', 'always'])
      .default('overflow')
      .describe(
        'overflow: events go to disk if the queue is full, if the sink fails, and at the stop. always: every event goes to ' +
          'disk first, so that a crash loses only unsynced events.',
      ),
    max_size: size(MIB, 1024 * 1024 * MIB)
      .prefault('1GiB')
      .describe('Maximum bytes on disk. Above it, the oldest events are dropped and counted as spool_full.'),
    max_age: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe(
        'Age from which events are dropped and counted as expired. Default: none; for Loki, which refuses old entries, 13/14 of ' +
          'loki.max_age (156h of 7d).',
      ),
    min_free: size(0)
      .prefault('1GiB')
      .describe(
        'Space that must stay free on the file system. If less is free, no more events are spooled; events that the queue in memory ' +
          'cannot hold are dropped and counted.',
      ),
    fsync: z
      .union([z.enum(['never', 'batch']), duration(1, 3_600_000)], {
        error: 'expected never, batch or a duration such as 200ms',
      })
      .prefault('200ms')
      .describe(
        'Sync of written events to disk: at this interval, after each batch, or never. Before the sync, a power cut or ' +
          'a kernel crash can lose them; a crash of the agent cannot.',
      ),
    compression: z
      .enum(['none', 'zstd'])
      .default('zstd')
      .describe('Compression on disk. zstd needs 10 % of the space, and less CPU than uncompressed writes.'),
    segment_size: size(64 * KIB, 1024 * MIB)
      .prefault('16MiB')
      .describe(
        'Size of one spool file, the unit that is dropped at a limit. It is limited to between 1/4096 and 1/4 of ' +
          'max_size.',
      ),
  })
  .describe('Queue on disk, for events that the queue in memory cannot hold. Default: none.')

export function spoolFolder(name: string, { dir }: { readonly dir: string }): string {
  return join(dir, name)
}
