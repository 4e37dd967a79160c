/** The sending chain of an exporter, as configured. */
import type { ExporterConfig } from '../../config/schema.ts'
import { TokenBucket, nodeCompressors, openSpool, systemClock, systemSpoolFiles } from '../../exporters/index.ts'
import type { SenderDeps, SenderOptions, WhenFull } from '../../exporters/index.ts'
import { deadLettersOf } from './dead-letter.ts'
import { rateLimitOf } from './filter.ts'
import type { OutputContext } from './output.ts'
import { spoolOptionsOf } from './spool.ts'
import { spoolTroubleLog, troubleLog } from './trouble-log.ts'

export function senderOptions({ queue, batch, retry, timeout, spool }: ExporterConfig): SenderOptions {
  return {
    queue: { maxBytes: queue.max_bytes, maxEvents: queue.max_events, whenFull: whenFullOf(queue.when_full) },
    batch: { maxEvents: batch.max_events, maxBytes: batch.max_bytes, maxWaitMs: batch.max_wait },
    retry: {
      initialMs: retry.initial,
      maxMs: retry.max,
      ...(retry.max_age === undefined ? {} : { maxAgeMs: retry.max_age }),
    },
    timeoutMs: timeout,
    ...(spool === undefined ? {} : { spoolUse: spool.use, spoolLimitBytes: spool.max_size }),
  }
}

/** What stands beside the chain: spool, rate limit, dead letters, each where it is configured. */
export function senderDeps(
  name: string,
  config: ExporterConfig,
  {
    epoch,
    log,
    onLost,
    compressors = nodeCompressors,
  }: Pick<OutputContext, 'epoch' | 'log' | 'onLost' | 'compressors'>,
): SenderDeps {
  const spool = spoolOptionsOf(name, config, epoch)
  const zstd = config.spool?.compression === 'zstd' ? compressors.zstd : undefined
  const limit = rateLimitOf(config)
  const deadLetters = deadLettersOf(name, config, { epoch, log })
  return {
    ...(spool === undefined
      ? {}
      : {
          openSpool: (onLoss) =>
            openSpool(spool, { files: systemSpoolFiles, clock: systemClock, random: Math.random, zstd, onLoss }),
        }),
    ...(limit === undefined ? {} : { rateLimit: new TokenBucket(limit, systemClock) }),
    ...(deadLetters === undefined ? {} : { deadLetters }),
    onTrouble: troubleLog(name, log),
    onSpoolTrouble: spoolTroubleLog(name, log),
    ...(onLost === undefined ? {} : { onLost: (lost) => onLost(name, lost) }),
  }
}

/** With a spool, what it does not take is the newest. */
function whenFullOf(choice: ExporterConfig['queue']['when_full']): WhenFull {
  return choice === undefined || choice === 'spool' ? 'drop_newest' : choice
}
