/** Keys of every exporter: filters and the sending chain, which is queue, spool, batch, retry, timeout. */
import { z } from 'zod'
import { DAY_MS, KIB, MIB, duration, size } from '../../base/units.ts'
import { deadLetter } from './dead-letter.ts'
import { filtering } from '../filtering/filter.ts'
import { spool } from './spool.ts'

/** Key of the exporters that write JSON. */
export const envelope = z
  .boolean()
  .default(false)
  .describe(
    'Adds a last key, ktrail, to each record: its number in this run and among the records of this exporter, so that a reader can ' +
      "prove that none is missing (ktrail audit). Without it records are exactly Tetragon's, but those about a change.",
  )

const queue = z
  .strictObject({
    max_bytes: size(64 * KIB, 64 * 1024 * MIB)
      .prefault('64MiB')
      .describe('Most bytes of encoded events in memory.'),
    max_events: z.int().min(1).max(10_000_000).default(100_000).describe('Most events in memory.'),
    when_full: z
      .enum(['spool', 'drop_newest', 'drop_oldest', 'block'])
      .optional()
      .describe(
        'What to do when the queue is full. spool writes to disk. drop_newest and drop_oldest drop events of this exporter ' +
          'only, and count them. block makes the reader of the ring wait, and with it every exporter; the kernel then drops and ' +
          'counts. Default: spool with a spool, else drop_newest.',
      ),
  })
  .prefault({})
  .describe('The bounded queue in memory.')

const batch = z
  .strictObject({
    max_events: z.int().min(1).max(1_000_000).default(1000).describe('Most events in a batch.'),
    max_bytes: size(4 * KIB, 1024 * MIB)
      .prefault('1MiB')
      .describe('Most bytes of encoded events in a batch.'),
    max_wait: duration(0, 60_000)
      .prefault('200ms')
      .describe(
        'How long the first event of a batch waits for others; 0ms sends at once. While no batch is in flight, an eighth of a ' +
          'batch is sent without waiting.',
      ),
  })
  .prefault({})
  .describe('How events are grouped before they are sent.')

const retry = z
  .strictObject({
    initial: duration(1)
      .prefault('1s')
      .describe(
        'Wait before the first retry. It doubles with each further one, with jitter, until a part of the batch is taken.',
      ),
    max: duration(1).prefault('30s').describe('Longest wait between two retries.'),
    max_age: duration(1, 3650 * DAY_MS)
      .optional()
      .describe('Older events are dropped and counted as expired. Default: retry without end.'),
  })
  .prefault({})
  .describe('When a batch that failed is sent again.')

/** Keys of every exporter. */
export const chain = {
  ...filtering,
  queue,
  spool: spool.optional(),
  batch,
  retry,
  dead_letter: deadLetter.optional(),
  timeout: duration(1).prefault('10s').describe('Longest time of one call to the sink.'),
}

/** The same for exporters that may take several requests for a batch. */
export const chainOfRequests = {
  ...chain,
  timeout: duration(1)
    .prefault('60s')
    .describe('Longest time for one batch, which may need several requests; request_timeout limits each of them.'),
}
