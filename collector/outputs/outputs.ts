/** The configured exporters as senders behind one fan-out. */
import type { Config, ExporterConfig } from '../../config/schema.ts'
import { FanOut, Sender } from '../../exporters/index.ts'
import type { Route } from '../../exporters/index.ts'
import { senderDeps, senderOptions } from './chain.ts'
import { fileOutput } from './file.ts'
import { encodersOf, filterOf } from './filter.ts'
import { kafkaOutput } from './kafka.ts'
import { npmOutput } from './npm.ts'
import { otlpOutput } from './otlp.ts'
import type { Output, OutputContext } from './output.ts'
import { stdoutOutput } from './stdout.ts'

/** Made, not yet started. Rejects with ExportError for options that can never work. */
export async function createFanOut(exporters: Config['exporters'], context: OutputContext): Promise<FanOut> {
  const routes = Object.entries(exporters).map(async ([name, config]): Promise<Route> => {
    const encoders = encodersOf(name, config, context.encoders, context.log)
    const { exporter, encoder, describe } = await outputOf(name, config, { ...context, encoders })
    const filter = filterOf(name, config, context.log)
    return {
      encoder,
      describe: describe === true || config.spool !== undefined,
      ...(filter === undefined ? {} : { filter }),
      sender: new Sender(name, exporter, senderOptions(config), senderDeps(name, config, context)),
    }
  })
  return new FanOut(await Promise.all(routes))
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
