/** The configured exporters as senders behind one fan-out. */
import type { Config, ExporterConfig } from '../../config/agent/schema.ts'
import { ExportError, FanOut, Sender } from '../../exporters/index.ts'
import type { Route } from '../../exporters/index.ts'
import { CollectorError } from '../errors.ts'
import { senderDeps, senderOptions } from './chain.ts'
import { fileOutput } from './file.ts'
import { encodersOf, filterOf } from './filter.ts'
import { kafkaOutput } from './kafka.ts'
import { npmOutput } from './npm.ts'
import { otlpOutput } from './otlp.ts'
import type { Output, OutputContext } from './output.ts'
import { stdoutOutput } from './stdout.ts'

/**
 * Made, not yet started. Rejects with CollectorError EXPORTER_REFUSED for what can never be made of the config, and
 * with ExportError TIMEOUT for a package that takes too long.
 */
export async function createFanOut(exporters: Config['exporters'], context: OutputContext): Promise<FanOut> {
  const routes = Object.entries(exporters).map(([name, config]) =>
    routeOf(name, config, context).catch((error: unknown) => {
      throw refusalOf(name, error)
    }),
  )
  return new FanOut(await Promise.all(routes))
}

/**
 * Made and started. Rejects as `createFanOut` and `FanOut.start` do, or with the reason of `stop` when that aborts
 * first; whatever was started is stopped again then.
 */
export async function startFanOut(
  exporters: Config['exporters'],
  context: OutputContext,
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

async function routeOf(name: string, config: ExporterConfig, context: OutputContext): Promise<Route> {
  const encoders = encodersOf(name, config, context.encoders, context.log)
  const { exporter, encoder, describe } = await outputOf(name, config, { ...context, encoders })
  const filter = filterOf(name, config, context.log)
  return {
    encoder,
    describe: describe === true || config.spool !== undefined,
    ...(filter === undefined ? {} : { filter }),
    sender: new Sender(name, exporter, senderOptions(config), senderDeps(name, config, context)),
  }
}

/** What is unusable before anything is opened is a mistake in the config. */
function refusalOf(name: string, error: unknown): unknown {
  if (!(error instanceof ExportError) || error.code !== 'UNUSABLE') return error
  return new CollectorError('EXPORTER_REFUSED', `exporters.${name}: ${error.message}`, { cause: error })
}

function outputOf(name: string, config: ExporterConfig, context: OutputContext): Promise<Output> {
  switch (config.type) {
    case 'file':
      return fileOutput(name, config, context)
    case 'kafka':
      return kafkaOutput(name, config, context)
    case 'otlp':
      return otlpOutput(name, config, context)
    case 'stdout':
      return stdoutOutput(config, context)
    default:
      return npmOutput(name, config, context)
  }
}
