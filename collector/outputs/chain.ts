/** The sending chain of an exporter, as configured. */
import { whenFull } from '../../config/agent/effective.ts'
import type { ExporterConfig } from '../../config/agent/schema.ts'
import { TokenBucket, nodeCompressors, openSpool, systemClock, systemSpoolFiles } from '../../exporters/index.ts'
import type { SenderDeps, SenderOptions, SpoolVanished } from '../../exporters/index.ts'
import { deadLettersOf } from './dead-letter.ts'
import { rateLimitOf } from './filter.ts'
import type { OutputContext } from './output.ts'
import { logRecovery, logVanished, spoolFullLog, spoolFailureLog } from './spool-log.ts'
import { spoolOptionsOf } from './spool.ts'
import { failureLog } from './failure-log.ts'

export function senderOptions(config: ExporterConfig): SenderOptions {
  const { queue, batch, retry, timeout, spool } = config
  const choice = whenFull(config)
  return {
    // What a spool does not take is the newest.
    queue: {
      maxBytes: queue.max_bytes,
      maxEvents: queue.max_events,
      whenFull: choice === 'spool' ? 'drop_newest' : choice,
    },
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
          openSpool: async (onLoss) => {
            const onFailure = spoolFailureLog(name, log)
            const world = { files: systemSpoolFiles, clock: systemClock, random: Math.random }
            const onVanished = (vanished: SpoolVanished): void => logVanished(name, vanished, log)
            const opened = await openSpool(spool, { ...world, zstd, onLoss, onFailure, onVanished })
            logRecovery(name, opened.recovery, log)
            return opened
          },
        }),
    ...(limit === undefined ? {} : { rateLimit: new TokenBucket(limit, systemClock) }),
    ...(deadLetters === undefined ? {} : { deadLetters }),
    onFailure: failureLog(name, log),
    onSpoolFailure: spoolFullLog(name, log),
    ...(onLost === undefined ? {} : { onLost: (lost) => onLost(name, lost) }),
  }
}
