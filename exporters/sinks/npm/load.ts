/** `type: npm:<package>`: creates an exporter from a package. */
import type { EffectiveType } from '../../../config/agent/effective.ts'
import { packageOf } from '../../../config/agent/exporters/npm.ts'
import { DEFAULT_RECORDS } from '../../../config/agent/exporters/otlp-records.ts'
import type { ExporterContext as Surroundings, MakeExporter } from '../context.ts'
import { ExportError } from '../../contract/errors.ts'
import type { Encoder, Encoding, Exporter } from '../../contract/exporter.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import type { ExporterContext } from './api.ts'
import { attempt } from './attempt.ts'
import { GuardedExporter } from './guarded.ts'
import { importPackage } from './import.ts'
import { checkExporter, checkModule } from './shape.ts'

type NpmConfig = EffectiveType<`npm:${string}`>
type Given = Pick<Surroundings, 'name' | 'nodeName' | 'epoch' | 'configFile' | 'warn'>

export const make: MakeExporter<NpmConfig> = async (config, context) => {
  const exporter = await loadNpmExporter(config, context)
  if (exporter.encoding === 'compact' && config.fields !== undefined) {
    const message =
      `exporters.${context.name}.fields: expected a package that takes json, otlp or otlp_json, ` +
      `${packageOf(config.type)} takes compact lines, which have no fields: remove fields`
    throw new ExportError('UNUSABLE', message)
  }
  return { exporter, encoder: await encoderOf(exporter.encoding, context) }
}

function encoderOf(encoding: Encoding, { encoders, epoch }: Surroundings): Encoder | Promise<Encoder> {
  if (encoding === 'json') return encoders.json()
  if (encoding === 'compact') return encoders.compact({ color: false, timestamps: true })
  const protocol = encoding === 'otlp' ? 'protobuf' : 'json'
  return encoders.otlp({ ...DEFAULT_RECORDS, epoch, protocol, sdk: false })
}

/**
 * Loads the package and creates its exporter, not yet started. Rejects with ExportError: UNUSABLE if it is not installed, cannot
 * be loaded, is no exporter or refuses its options; TIMEOUT if it takes too long.
 */
export async function loadNpmExporter(
  { type, options }: Pick<NpmConfig, 'type' | 'options'>,
  given: Given,
  clock: Clock = systemClock,
): Promise<Exporter> {
  const module = await importPackage(type, packageOf(type), given.configFile, clock)
  // Reading members may also run the package's code, in getters.
  const load = async (): Promise<Exporter> => {
    const create = checkModule(module)
    const exporter = checkExporter(await create(options, contextOf(given)))
    return new GuardedExporter(type, exporter, { warn: given.warn, clock })
  }
  return attempt(type, 'make its exporter', load, clock)
}

function contextOf({ name, nodeName, epoch, warn }: Given): ExporterContext {
  return {
    name,
    nodeName,
    epoch,
    warn: (text) => warn(String(text)),
    fromLogRecordExporter: async (exporter) => {
      // Loaded on demand, because OpenTelemetry's packages take memory.
      const { fromLogRecordExporter } = await import('../otlp/sdk-adapter.ts')
      return fromLogRecordExporter(exporter, { nodeName })
    },
  }
}
