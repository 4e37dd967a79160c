/** `type: npm:<package>`: from the name of a package to an exporter, or a sentence that says what it lacks. */
import { constants, runInThisContext } from 'node:vm'
import { findPackage, missingPackage } from '../../config/packages.ts'
import { ExportError, errnoOf, textOf } from '../errors.ts'
import type { Exporter } from '../exporter.ts'
import { systemClock } from '../sending/clock.ts'
import type { Clock } from '../sending/clock.ts'
import type { ExporterContext } from './api.ts'
import { attempt } from './attempt.ts'
import { GuardedExporter } from './guarded.ts'
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
  const from = findPackage(name, configFile)
  if (from === undefined) throw new ExportError('UNUSABLE', `${type}: ${missingPackage(name, configFile)}`)
  const module = await attempt(type, 'load', () => importFrom(from, name), clock)
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

/** `import(name)` as a module at the path `from` would do it: with Node's own rules for what a package exports. */
async function importFrom(from: string, name: string): Promise<object> {
  const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  const load: unknown = runInThisContext('(name) => import(name)', { filename: from, importModuleDynamically })
  try {
    return await (load as (specifier: string) => Promise<object>)(name)
  } catch (cause) {
    if (errnoOf(cause) !== 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING') throw cause
    const hint =
      'a package in node_modules has to bring JavaScript, or to be installed as a link (npm install ./folder)'
    throw new Error(`${textOf(cause)}; ${hint}`, { cause })
  }
}
