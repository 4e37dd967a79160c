/** Creates the configured exporters behind one fan-out. */
import { effectiveExporter } from '../config/agent/effective.ts'
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { spoolFolder } from '../config/agent/exporters/spool.ts'
import type { Config, ExporterConfig, SpoolConfig } from '../config/agent/schema.ts'
import { systemSpoolFiles } from './buffer/disk/files/files.ts'
import { openSpool } from './buffer/disk/spool.ts'
import type { ExportersContext } from './sinks/context.ts'
import { ExportError } from './contract/errors.ts'
import { Numberings } from './contract/numbering.ts'
import type { Numbering } from './contract/numbering.ts'
import { DeadLetterFile } from './dead-letter/dead-letters.ts'
import { FanOut } from './fanout.ts'
import type { Route } from './fanout.ts'
import { createFilter } from './filtering/filter.ts'
import { TokenBucket } from './filtering/rate-limit.ts'
import { makeExporter } from './registry.ts'
import { fullSpoolReport, reportRecovery, reportVanished, sinkReport, spoolReport } from './reports.ts'
import { systemClock } from '../config/base/time/clock.ts'
import { nodeCompressors } from './runtime/compression.ts'
import type { Sink } from './sending/chain.ts'
import { Sender } from './sending/sender.ts'
import type { SenderDeps } from './sending/sender.ts'

/**
 * Creates the exporters, not yet started. Rejects with ExportError: EXPORTER_REFUSED for a config that can never work, TIMEOUT
 * for a package that takes too long.
 */
export async function createFanOut(exporters: Config['exporters'], context: ExportersContext): Promise<FanOut> {
  const { numberings = new Numberings(context.epoch) } = context
  const routes = Object.entries(exporters).map(async ([name, config]) =>
    withSender(name, await makeRoute(name, config, context, numberings.of(name)), context),
  )
  return new FanOut(await Promise.all(routes))
}

/**
 * Creates and starts the exporters. Rejects like `createFanOut` and `FanOut.start`, or with the reason of `stop` if that aborts
 * first; started exporters are then stopped.
 */
export async function startFanOut(
  exporters: Config['exporters'],
  context: ExportersContext,
  stop: AbortSignal,
): Promise<FanOut> {
  stop.throwIfAborted()
  const aborted = new Promise<never>((_, reject) => stop.addEventListener('abort', () => reject(stop.reason)))
  const fanout = await Promise.race([createFanOut(exporters, context), aborted])
  try {
    await Promise.race([fanout.start(), aborted])
    return fanout
  } catch (error) {
    await fanout.stop(0)
    throw error
  }
}

/** A route without its sender, and the sink of that sender. */
export interface Made extends Omit<Route, 'sender'> {
  readonly sink: Sink
  readonly config: EffectiveExporter
}

/** Adds a new sender. */
export function withSender(name: string, { sink, ...route }: Made, context: ExportersContext): Route {
  const { exporter, config, rateLimit, deadLetters } = sink
  const { log, onLost } = context
  const { spool } = route.config
  const sender = new Sender(name, exporter, config, {
    rateLimit,
    deadLetters,
    ...(spool && { openSpool: spoolOpener(name, spool, context) }),
    onFailure: sinkReport(name, log),
    onSpoolFailure: fullSpoolReport(name, log),
    ...(onLost && { onLost: (lost) => onLost(name, lost) }),
  })
  return { ...route, sender }
}

/** Makes the parts of one exporter from its config; nothing is started. Rejects like `createFanOut`. */
export async function makeRoute(
  name: string,
  written: ExporterConfig,
  context: ExportersContext,
  numbering: Numbering,
): Promise<Made> {
  const { epoch, log } = context
  const warn = (message: string): void => log.warn({ exporter: name }, message)
  const warnOf = (problem: Error): void => warn(problem.message)
  try {
    const { config, sources, warnings } = effectiveExporter(written, context.env)
    for (const warning of warnings) warn(warning)
    const encoders = context.encoders.shaped(config, warn)
    const made = await makeExporter(config, { ...context, name, encoders, numbering, sources, warn })
    const { exporter, encoder, describe, numbered } = made
    const { filter, rate_limit: limit, dead_letter: deadLetter } = config
    return {
      config,
      encoder,
      describe: describe === true || config.spool !== undefined,
      ...(filter && { filter: createFilter(filter) }),
      ...(numbered === true ? { numbering } : {}),
      sink: {
        exporter,
        config,
        rateLimit: limit && new TokenBucket(limit, systemClock),
        deadLetters: deadLetter && new DeadLetterFile(deadLetter, { exporter: name, epoch }, { warn: warnOf }),
      },
    }
  } catch (error) {
    // Before anything is opened, it is a mistake in the config.
    if (!(error instanceof ExportError) || error.code !== 'UNUSABLE') throw error
    throw new ExportError('EXPORTER_REFUSED', `exporters.${name}: ${error.message}`, error)
  }
}

/** Opens an exporter's spool and reports repairs. */
export function spoolOpener(
  name: string,
  config: SpoolConfig,
  { epoch, log, compressors = nodeCompressors }: Pick<ExportersContext, 'epoch' | 'log' | 'compressors'>,
): NonNullable<SenderDeps['openSpool']> {
  return async (onLoss) => {
    const spool = await openSpool(
      { ...config, dir: spoolFolder(name, config), epoch },
      {
        files: systemSpoolFiles,
        clock: systemClock,
        random: Math.random,
        zstd: config.compression === 'zstd' ? compressors.zstd : undefined,
        onLoss,
        onFailure: spoolReport(name, log),
        onVanished: (vanished) => reportVanished(name, vanished, log),
      },
    )
    reportRecovery(name, spool.recovery, log)
    return spool
  }
}
