import { z } from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { DAY_MS, KIB, MIB, duration, formatSize, size } from '../../base/units.ts'
import { chain, envelope } from './chain.ts'

const rotate = z
  .strictObject({
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('64MiB')
      .describe('The file is rotated before a write would make it larger. Lines are never split.'),
    interval: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe(
        'The file is also rotated at each multiple of this time in UTC: 1h on the hour, 1d at midnight. An empty file is not ' +
          'rotated. Default: rotate by size only.',
      ),
    max_files: z
      .int()
      .min(1)
      .max(10_000)
      .default(5)
      .describe('Rotated files that are kept, compressed or not; the oldest is deleted first.'),
    max_total_size: size(4 * KIB)
      .optional()
      .describe(
        'Most bytes of all rotated files together, as stored on disk; the oldest is deleted first. The current file is not ' +
          'counted. Default: no limit.',
      ),
    max_age: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe('Rotated files are deleted this long after their rotation. Default: not by age.'),
    compress: z
      .boolean()
      .default(false)
      .describe('Compresses rotated files to .gz in the background. A stop or a crash in between loses nothing.'),
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
    path: pathSchema('The file to append to.'),
    format: z
      .enum(['tetragon', 'extended'])
      .default('tetragon')
      .describe(
        "tetragon: Tetragon's JSON. extended: the same with a last key, ktrail, for what that has no key for, such as inodes.",
      ),
    mode: z
      .string({ error: 'expected an octal file mode in quotes, such as "0600"' })
      .regex(/^0[0-7]{3}$/, { error: 'expected an octal file mode in quotes, such as "0600"' })
      .default('0600')
      .describe('Access rights of the files, in quotes: YAML reads 0600 as the decimal 600.'),
    envelope,
    fsync: z
      .union([z.enum(['never', 'batch']), duration(1, 3_600_000)], {
        error: 'expected never, batch or a duration such as 1s',
      })
      .prefault('1s')
      .describe(
        'When written bytes are synced to disk: never, after each batch, or at this interval. With batch an event counts as ' +
          'delivered once it is on disk, and is written again if the sync fails. Otherwise it counts as delivered once it is ' +
          'written: a power cut can then lose what is not yet synced, and a failed sync counts those events as possibly_lost.',
      ),
    rotate,
    ...chain,
  })
  .describe('Exporter to a file.')
