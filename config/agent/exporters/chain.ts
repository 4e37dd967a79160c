/** What every exporter has: filters and the sending chain, which is queue, spool, batch, retry, timeout. */
import { z } from 'zod'
import { duration, size } from '../../yaml/units.ts'
import { deadLetter } from './dead-letter.ts'
import { filtering } from '../filtering/filter.ts'
import { spool } from './spool.ts'

const KIB = 1024
const MIB = 1024 * KIB

const queue = z
  .strictObject({
    max_bytes: size(64 * KIB, 64 * 1024 * MIB)
      .prefault('64MiB')
      .describe('Most bytes of encoded events that wait in memory.'),
    max_events: z.int().min(1).max(10_000_000).default(100_000).describe('Most events that wait in memory.'),
    when_full: z
      .enum(['spool', 'drop_newest', 'drop_oldest', 'block'])
      .optional()
      .describe(
        'What gives way when the queue is full: spool where this exporter has one and drop_newest where it has none, ' +
          'when absent. spool writes to disk. drop_newest and drop_oldest drop events of this exporter only, and count ' +
          'them. block makes the ring reader and with it every exporter wait; the kernel then drops and counts.',
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
      .describe(
        'Longest time the first event of a batch waits for others; 0ms sends at once. While nothing is under way, an eighth of a batch ' +
          'is enough.',
      ),
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

/** Keys of every exporter. */
export const chain = {
  ...filtering,
  queue,
  spool: spool.optional(),
  batch,
  retry,
  dead_letter: deadLetter.optional(),
  timeout: duration(1).prefault('10s').describe('Longest time one call to the sink may take.'),
}

/** The same for exporters that may take several requests for a batch. */
export const chainOfRequests = {
  ...chain,
  timeout: duration(1)
    .prefault('60s')
    .describe(
      'Longest time one batch may take. A batch may need several requests; request_timeout is for one of them.',
    ),
}
