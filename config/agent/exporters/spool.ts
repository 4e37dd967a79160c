/** The disk queue that every exporter may have. */
import { z } from 'zod'
import { pathSchema } from '../../yaml/paths.ts'
import { duration, size } from '../../yaml/units.ts'

const KIB = 1024
const MIB = 1024 * KIB
const DAY_MS = 86_400_000

export const spool = z
  .strictObject({
    dir: pathSchema(
      'Folder of the spools. This exporter keeps its own in a folder of its name below it, so several may name the same.',
    ),
    use: z
      .enum(['overflow', 'always'])
      .default('overflow')
      .describe(
        'overflow: events go to disk when the queue in memory is full, when the sink fails and at the stop. always: ' +
          'every event goes to disk first, so that a crash of the agent or the host loses only what was not yet synced.',
      ),
    max_size: size(MIB, 1024 * 1024 * MIB)
      .prefault('1GiB')
      .describe('Most bytes on disk; then the oldest events are dropped and counted as spool_full.'),
    max_age: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe(
        'Events older than this are dropped and counted as expired; kept for ever when absent, but for Loki, which refuses old ' +
          'entries: 13/14 of loki.max_age then, 156h of its 7d.',
      ),
    min_free: size(0)
      .prefault('1GiB')
      .describe(
        'What must stay free on the file system. When others have filled it, nothing more is spooled, and what the ' +
          'queue in memory cannot hold is dropped and counted.',
      ),
    fsync: z
      .union([z.enum(['never', 'batch']), duration(1, 3_600_000)], {
        error: 'expected never, batch or a duration such as 200ms',
      })
      .prefault('200ms')
      .describe(
        'When written events are forced to disk: at this interval, after each batch, or never. Until then a power cut ' +
          'or a crash of the kernel may take them; a crash of the agent does not.',
      ),
    compression: z
      .enum(['none', 'zstd'])
      .default('zstd')
      .describe(
        'How events lie on disk. zstd takes a tenth of the space and less processor time than writing all of it.',
      ),
    segment_size: size(64 * KIB, 1024 * MIB)
      .prefault('16MiB')
      .describe(
        'Size of one file of the spool, and of what is dropped at once at a limit; never more than a quarter of max_size, nor ' +
          'less than a 4096th of it.',
      ),
  })
  .describe('A queue on disk for this exporter, for what the queue in memory cannot hold; none when absent.')
