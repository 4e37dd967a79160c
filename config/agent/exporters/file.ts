import { z } from 'zod'
import { pathSchema } from '../../yaml/paths.ts'
import { duration, formatSize, size } from '../../yaml/units.ts'
import { chain } from './chain.ts'

const KIB = 1024
const MIB = 1024 * KIB
const DAY_MS = 86_400_000

const rotate = z
  .strictObject({
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('64MiB')
      .describe('The file is renamed and a new one begun before a write would make it larger. Lines are never split.'),
    interval: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe(
        'A new file is also begun at each multiple of this time in UTC: 1h on the hour, 1d at midnight; by size only when ' +
          'absent. An empty file is left as it is.',
      ),
    max_files: z
      .int()
      .min(1)
      .max(10_000)
      .default(5)
      .describe('Renamed files that are kept, compressed or not; the oldest goes first.'),
    max_total_size: size(4 * KIB)
      .optional()
      .describe(
        'Most bytes of the renamed files together, as they lie on the disk; the oldest goes first. The file being written ' +
          'comes on top. No limit when absent.',
      ),
    max_age: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe('Renamed files are deleted this long after they were renamed; not by age when absent.'),
    compress: z
      .boolean()
      .default(false)
      .describe(
        'Renamed files become .gz, one at a time, beside the writing; a stop or a crash loses nothing of them.',
      ),
  })
  .prefault({})
  .check((context) => {
    const { max_size, max_total_size } = context.value
    if (max_total_size === undefined || max_total_size >= max_size) return
    const message = `expected at least max_size, which is ${formatSize(max_size)}`
    context.issues.push({ code: 'custom', input: context.value, path: ['max_total_size'], message })
  })
  .describe('Rotation by the agent itself.')

/** `type: file`. */
export const file = z
  .strictObject({
    type: z.literal('file').describe('Appends JSON lines to a file.'),
    path: pathSchema('The file that lines are appended to.'),
    format: z.literal('tetragon').default('tetragon').describe("Shape of a record: Tetragon's JSON."),
    mode: z
      .string({ error: 'expected an octal file mode in quotes, such as "0600"' })
      .regex(/^0[0-7]{3}$/, { error: 'expected an octal file mode in quotes, such as "0600"' })
      .default('0600')
      .describe('Access rights of the files, in quotes: YAML reads 0600 as the decimal 600.'),
    fsync: z
      .union([z.enum(['never', 'batch']), duration(1, 3_600_000)], {
        error: 'expected never, batch or a duration such as 1s',
      })
      .prefault('1s')
      .describe(
        'When written bytes are forced to disk: never, after each batch, or at this interval. With batch an event counts as delivered once ' +
          'it is on the disk, and is written again where that fails; else once it is written: a power cut may then take what was not yet ' +
          'forced, and where forcing fails that is counted as possibly_lost.',
      ),
    rotate,
    ...chain,
  })
  .describe('Exporter to a file.')
