import { packageOf } from '../../config/agent/exporters/npm.ts'
import type { NpmExporterConfig } from '../../config/agent/schema.ts'
import { ExportError, createExporter } from '../../exporters/index.ts'
import type { Encoder, Encoding } from '../../exporters/index.ts'
import type { Output, OutputContext } from './output.ts'

/**
 * Makes an exporter of somebody else's package, which says what it wants its events as. Rejects with ExportError for options
 * that can never work.
 */
export async function npmOutput(name: string, config: NpmExporterConfig, context: OutputContext): Promise<Output> {
  const { nodeName, epoch, configFile, log } = context
  const { type, options, fields } = config
  const exporter = await createExporter(
    'npm',
    { package: packageOf(type), options, configFile, name, nodeName, epoch },
    { warn: (text) => log.warn({ exporter: name }, text) },
  )
  if (exporter.encoding === 'compact' && fields !== undefined) {
    const message =
      `exporters.${name}.fields: expected a package that takes json, otlp or otlp_json, ` +
      `${packageOf(type)} takes compact lines, which have no fields: leave fields out`
    throw new ExportError('UNUSABLE', message)
  }
  return { exporter, encoder: await encoderOf(exporter.encoding, context) }
}

function encoderOf(encoding: Encoding, { encoders, epoch }: OutputContext): Encoder | Promise<Encoder> {
  switch (encoding) {
    case 'json':
      return encoders.json()
    case 'compact':
      return encoders.compact({ color: false, timestamps: true })
    case 'otlp':
    case 'otlp_json':
      return encoders.otlp({ epoch, protocol: encoding === 'otlp' ? 'protobuf' : 'json', sdk: false, body: 'json' })
  }
}
