import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { DAY_MS, KIB, MIB, duration, formatSize, size } from '../../base/units.ts'
import { flag } from '../filtering/filter.ts'
import { chain, envelope } from './chain.ts'

const rotate = z
  .strictObject({
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('64MiB')
      .describe('Size at which the file is rotated, before the next write would exceed it. Lines are never split.'),
    interval: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe(
        'Interval of rotations, at multiples of it in UTC: 1h on the hour, 1d at midnight. An empty file is not ' +
          'rotated. Default: rotate by size only.',
      ),
    max_files: z
      .int()
      .min(1)
      .max(10_000)
      .default(5)
      .describe('Number of rotated files to keep, compressed or not; the oldest is deleted first.'),
    max_total_size: size(4 * KIB)
      .optional()
      .describe(
        'Maximum bytes of all rotated files together, as stored on disk; the oldest is deleted first. The current file is not ' +
          'counted. Default: no limit.',
      ),
    max_age: duration(1000, 3650 * DAY_MS)
      .optional()
      .describe('Time after which rotated files are deleted. Default: no limit.'),
    compress: flag(
      'Compresses rotated files to .gz in the background. A stop or crash during compression loses nothing.',
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
    path: pathSchema('File to append to.', 'output'),
    format: z
      .enum(['tetragon', 'extended'])
      .default('tetragon')
      .describe(
        "tetragon: Tetragon's JSON. extended: the same with ktrail's own data, such as inodes, in a last key ktrail.",
      ),
    mode: z
      .string({ error: 'expected an octal file mode in quotes, such as "0600"' })
      .regex(/^0[0-7]{3}$/, { error: 'expected an octal file mode in quotes, such as "0600"' })
      .default('0600')
      .describe('Access mode of the files, in quotes, because YAML reads 0600 as the decimal number 600.'),
    envelope,
    fsync: z
      .union([z.enum(['never', 'batch']), duration(1, 3_600_000)], {
        error: 'expected never, batch or a duration such as 1s',
      })
      .prefault('1s')
      .describe(
        'Sync of written bytes to disk: never, after each batch, or at this interval. With batch, an event counts as ' +
          'delivered when it is on disk, and is written again if the sync fails. Otherwise it counts as delivered when it is ' +
          'written: a power cut can lose unsynced events, and a failed sync counts them as possibly_lost.',
      ),
    rotate,
    ...chain,
  })
  .describe('Exporter to a file.')
