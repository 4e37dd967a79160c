/** Keys of every exporter: filters and the sending chain, which is queue, spool, batch, retry, timeout. */
import * as z from 'zod'
import { DAY_MS, KIB, MIB, duration, size } from '../../base/units.ts'
import { deadLetter } from './dead-letter.ts'
import { filtering, flag } from '../filtering/filter.ts'
import { spool } from './spool.ts'

/** Key of the exporters that write JSON. */
export const envelope = flag(
  'Adds a last key, ktrail, to each record: its number in this run and among the records of this exporter. With it, ktrail audit ' +
    "proves that no record is missing. Without it, records are exactly Tetragon's, except records about changes.",
)

const queue = z
  .strictObject({
    max_bytes: size(64 * KIB, 64 * 1024 * MIB)
      .prefault('64MiB')
      .describe('Maximum bytes of encoded events in memory.'),
    max_events: z.int().min(1).max(10_000_000).default(100_000).describe('Maximum number of events in memory.'),
    when_full: z
      .enum(['spool', 'drop_newest', 'drop_oldest', 'block'])
      .optional()
      .describe(
        'Behavior of a full queue. spool writes to disk. drop_newest and drop_oldest drop events of this exporter ' +
          'only, and count them. block stops the reader of the ring, and with it every exporter; the kernel then drops and ' +
          'counts events. Default: spool with a spool, else drop_newest.',
      ),
  })
  .prefault({})
  .describe('Bounded queue in memory.')

const batch = z
  .strictObject({
    max_events: z.int().min(1).max(1_000_000).default(1000).describe('Maximum number of events in a batch.'),
    max_bytes: size(4 * KIB, 1024 * MIB)
      .prefault('1MiB')
      .describe('Maximum bytes of encoded events in a batch.'),
    max_wait: duration(0, 60_000)
      .prefault('200ms')
      .describe(
        'Maximum time that the first event of a batch waits for others; 0ms sends at once. If no batch is in flight, 12.5 % of a ' +
          'full batch is sent without waiting.',
      ),
  })
  .prefault({})
  .describe('Grouping of events before they are sent.')

const retry = z
  .strictObject({
    initial: duration(1)
      .prefault('1s')
      .describe(
        'Wait before the first retry. It doubles with each further retry, with jitter, until the sink accepts a part of the batch.',
      ),
    max: duration(1).prefault('30s').describe('Maximum wait between two retries.'),
    max_age: duration(1, 3650 * DAY_MS)
      .optional()
      .describe('Age from which events are dropped and counted as expired. Default: no limit.'),
  })
  .prefault({})
  .describe('Retries of failed batches.')

/** Keys of every exporter. */
export const chain = {
  ...filtering,
  queue,
  spool: spool.optional(),
  batch,
  retry,
  dead_letter: deadLetter.optional(),
  timeout: duration(1).prefault('10s').describe('Timeout of one call to the sink.'),
}

/** `chain` of exporters that may send a batch in several requests. */
export const chainOfRequests = {
  ...chain,
  timeout: duration(1)
    .prefault('60s')
    .describe('Timeout of one batch, which may need several requests; request_timeout limits each of them.'),
}
