/** `type: npm:<package>`: from the name of a package to an exporter, or a sentence that says what it lacks. */
import { constants, runInThisContext } from 'node:vm'
import { findPackage, missingPackage } from '../../config/packages.ts'
import { ExportError, errnoOf, textOf } from '../errors.ts'
import type { Exporter } from '../exporter.ts'
import type { CreateExporter, ExporterContext } from './api.ts'
import { GuardedExporter } from './guarded.ts'
import { checkExporter, checkModule } from './shape.ts'

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
}

/**
 * Loads the package and lets it make its exporter, not yet started. Rejects with ExportError UNUSABLE when it is not
 * installed, can not be loaded, is no exporter, or refuses its options.
 */
export async function loadNpmExporter(options: NpmOptions, deps: NpmDeps = {}): Promise<Exporter> {
  const type = `npm:${options.package}`
  const warn = deps.warn ?? (() => {})
  const create = await createOf(type, options)
  const made = await attempt(type, () => create(options.options, contextOf(options, warn)))
  const exporter = checkExporter(made)
  if ('problem' in exporter) throw unusable(type, exporter.problem)
  return new GuardedExporter(type, exporter.value, { warn })
}

async function createOf(type: string, { package: name, configFile }: NpmOptions): Promise<CreateExporter> {
  const from = findPackage(name, configFile)
  if (from === undefined) throw unusable(type, missingPackage(name, configFile))
  const module = await importFrom(from, name).catch((cause: unknown) => {
    throw unusable(type, `cannot load the package: ${textOf(cause)}${hint(cause)}`, cause)
  })
  const create = checkModule(module)
  if ('problem' in create) throw unusable(type, create.problem)
  return create.value
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

async function attempt(type: string, create: () => unknown): Promise<unknown> {
  try {
    return await create()
  } catch (cause) {
    throw unusable(type, textOf(cause), cause)
  }
}

/** `import(name)` as a module at the path `from` would do it: with Node's own rules for what a package exports. */
function importFrom(from: string, name: string): Promise<object> {
  const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  const load: unknown = runInThisContext('(name) => import(name)', { filename: from, importModuleDynamically })
  return (load as (specifier: string) => Promise<object>)(name)
}

function hint(cause: unknown): string {
  if (errnoOf(cause) !== 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING') return ''
  return '; a package in node_modules has to bring JavaScript, or to be installed as a link (npm install ./folder)'
}

function unusable(type: string, message: string, cause?: unknown): ExportError {
  return new ExportError('UNUSABLE', `${type}: ${message}`, cause)
}
