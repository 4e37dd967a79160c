/** What a user writes under `exporters:`; one schema a type, and the sending chain they all have. */
import { z } from 'zod'
import { duration, formatDuration, size } from './units.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Exporter names are metric labels and parts of file names. */
export const EXPORTER_NAME: RegExp = /^[a-z0-9][a-z0-9_-]{0,62}$/

const queue = z
  .strictObject({
    max_bytes: size(64 * KIB, 64 * 1024 * MIB)
      .prefault('64MiB')
      .describe('Most bytes of encoded events that wait in memory.'),
    max_events: z.int().min(1).max(10_000_000).default(100_000).describe('Most events that wait in memory.'),
    when_full: z
      .enum(['drop_newest', 'drop_oldest', 'block'])
      .default('drop_newest')
      .describe(
        'What gives way when the queue is full. drop_newest and drop_oldest drop events of this exporter only, and ' +
          'count them. block makes the ring reader and with it every exporter wait; the kernel then drops and counts.',
      ),
  })
  .prefault({})
  .describe('The bounded queue between the ring and this exporter.')

const batch = z
  .strictObject({
    max_events: z.int().min(1).max(1_000_000).default(1000).describe('Most events sent in one call.'),
    max_bytes: size(4 * KIB, 1024 * MIB)
      .prefault('1MiB')
      .describe('A batch is sent when it holds this much.'),
    max_wait: duration(0, 60_000)
      .prefault('200ms')
      .describe('Longest time the first event of a batch waits for others; 0ms sends at once.'),
  })
  .prefault({})
  .describe('How events are put together before they are sent.')

const retry = z
  .strictObject({
    initial: duration(1)
      .prefault('1s')
      .describe('First wait after a failure that may pass; it doubles with each further one, with jitter.'),
    max: duration(1).prefault('30s').describe('Longest wait between two tries.'),
    max_age: duration(1, 3650 * 86_400_000)
      .optional()
      .describe('Events older than this are dropped and counted as expired; tried for ever when absent.'),
  })
  .prefault({})
  .describe('What happens to a batch that the sink did not take.')

const chain = {
  queue,
  batch,
  retry,
  timeout: duration(1).prefault('10s').describe('Longest time one call to the sink may take.'),
}

const rotate = z
  .strictObject({
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('64MiB')
      .describe('The file is renamed and a new one begun before a write would make it larger. Lines are never split.'),
    max_files: z.int().min(1).max(10_000).default(5).describe('Renamed files that are kept; the oldest goes first.'),
  })
  .prefault({})
  .describe('Rotation by the agent itself.')

const file = z
  .strictObject({
    type: z.literal('file').describe('Appends JSON lines to a file.'),
    path: z
      .string()
      .min(1)
      .describe('The file. A relative path starts at the directory the agent was started in, not at this file.'),
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
      .describe('When written bytes are forced to disk: never, after each batch, or at this interval.'),
    rotate,
    ...chain,
  })
  .describe('Exporter to a file.')

const stdout = z
  .strictObject({
    type: z.literal('stdout').describe('Writes lines to the standard output of the agent.'),
    format: z.enum(['json', 'compact']).default('json').describe('JSON lines, or one short line an event for people.'),
    color: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe('Colour of compact lines; auto: when the output is a terminal and NO_COLOR is not set.'),
    timestamps: z.boolean().default(false).describe('Puts the time in front of each compact line.'),
    ...chain,
  })
  .describe('Exporter to the standard output.')

/** One exporter, told apart by `type`. */
export const exporterSchema = z
  .discriminatedUnion('type', [file, stdout])
  .check((context) => {
    const { initial, max } = context.value.retry
    if (initial <= max) return
    const message = `expected at most retry.max, which is ${formatDuration(max)}`
    context.issues.push({ code: 'custom', input: context.value, path: ['retry', 'initial'], message })
  })
  .describe('One exporter.')
