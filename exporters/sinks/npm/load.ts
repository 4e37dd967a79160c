/** `type: npm:<package>`: from the name of a package to an exporter, or a sentence that says what it lacks. */
import type { Exporter } from '../../contract/exporter.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { ExporterContext } from './api.ts'
import { attempt } from './attempt.ts'
import { GuardedExporter } from './guarded.ts'
import { importPackage } from './import.ts'
import { checkExporter, checkModule } from './shape.ts'
import type { Checked } from './shape.ts'

export interface NpmOptions {
  readonly package: string
  /** Packages are looked for from here first, then from ktrail's own folder. */
  readonly configFile?: string | undefined
  /** As the user wrote them. */
  readonly options: Readonly<Record<string, unknown>>
  /** The exporter's name in the config. */
  readonly name: string
  readonly nodeName: string
  readonly epoch: string
}

export interface NpmDeps {
  readonly warn?: (text: string) => void
  readonly clock?: Clock
}

/**
 * Loads the package and lets it make its exporter, not yet started. Rejects with ExportError UNUSABLE when it is not
 * installed, can not be loaded, is no exporter, or refuses its options; TIMEOUT when it takes too long for that.
 */
export async function loadNpmExporter(options: NpmOptions, deps: NpmDeps = {}): Promise<Exporter> {
  const { package: name, configFile } = options
  const { warn = () => {}, clock = systemClock } = deps
  const type = `npm:${name}`
  const module = await importPackage(type, name, configFile, clock)
  // Also what is read of a module and of an exporter is the package's own code, where it has getters.
  const make = async (): Promise<Exporter> => {
    const create = valueOf(checkModule(module))
    const exporter = valueOf(checkExporter(await create(options.options, contextOf(options, warn))))
    return new GuardedExporter(type, exporter, { warn, clock })
  }
  return attempt(type, 'make its exporter', make, clock)
}

function valueOf<T>(checked: Checked<T>): T {
  if ('problem' in checked) throw new Error(checked.problem)
  return checked.value
}

function contextOf({ name, nodeName, epoch }: NpmOptions, warn: (text: string) => void): ExporterContext {
  return {
    name,
    nodeName,
    epoch,
    warn: (text) => warn(String(text)),
    fromLogRecordExporter: async (exporter) => {
      // Loaded when wanted: OpenTelemetry's packages take memory.
      const { fromLogRecordExporter } = await import('../otlp/sdk-adapter.ts')
      return fromLogRecordExporter(exporter, { nodeName })
    },
  }
}
