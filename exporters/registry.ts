/** All kinds of exporters, loaded on demand: an agent that writes a file should not load Kafka's client. */
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { isPackageType } from '../config/agent/exporters/npm.ts'
import type { ExporterContext, MadeExporter, MakeExporter } from './sinks/context.ts'

type Kinds = {
  readonly [E in EffectiveExporter as E['type'] extends `npm:${string}` ? 'npm' : E['type']]: E
}

const KINDS: { readonly [K in keyof Kinds]: () => Promise<{ readonly make: MakeExporter<Kinds[K]> }> } = {
  file: () => import('./sinks/file/exporter.ts'),
  stdout: () => import('./sinks/stdout/exporter.ts'),
  otlp: () => import('./sinks/otlp/make.ts'),
  kafka: () => import('./sinks/kafka/make.ts'),
  npm: () => import('./sinks/npm/load.ts'),
}

/** Creates an exporter, not yet started. Rejects with ExportError for a config that can never work. */
export async function makeExporter(config: EffectiveExporter, context: ExporterContext): Promise<MadeExporter> {
  if (isPackage(config)) return makeOf('npm', config, context)
  return makeOf(config.type, config, context)
}

function isPackage(config: EffectiveExporter): config is Kinds['npm'] {
  return isPackageType(config.type)
}

async function makeOf<K extends keyof Kinds>(
  kind: K,
  config: Kinds[K],
  context: ExporterContext,
): Promise<MadeExporter> {
  const { make } = await KINDS[kind]()
  return make(config, context)
}
