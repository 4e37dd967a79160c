/** Checks the exports and results of a package. All of it is `unknown` until here. */
import type { Encoding } from '../../contract/exporter.ts'
import type { CreateExporter, PackageExporter } from './api.ts'

/**
 * Version of the interface, incremented by incompatible changes. A package declares it with `export const ktrail = 1`, which also
 * marks it as an exporter.
 */
const API = 1

const ENCODINGS: readonly Encoding[] = ['json', 'compact', 'otlp', 'otlp_json']
const METHODS = ['start', 'send', 'stop'] as const
/** The maximum of the sending chain. */
const MAX_CONCURRENCY = 1024

/**
 * Finds `createExporter` or the default export of a module, or of the object that a CommonJS module exports. Only for modules
 * that export `ktrail`, so that no function of another module is called. Throws an Error that says what is wrong.
 */
export function checkModule(module: object): CreateExporter {
  const inner = get(module, 'default')
  const paths = [module, inner].filter(isObject)
  const api = paths.map((place) => get(place, 'ktrail')).find((value) => value !== undefined)
  if (api === undefined) {
    throw new Error(`it is not an exporter for ktrail: expected "export const ktrail = ${API}", got none`)
  }
  if (api !== API) {
    const want = typeof api === 'number' && api > API ? 'a newer ktrail' : 'another version of the package'
    throw new Error(`it uses interface ${String(api)}, expected ${API}: install ${want}`)
  }
  const create = [...paths.map((place) => get(place, 'createExporter')), inner].find(isCreate)
  if (create !== undefined) return create
  throw new Error(`expected "export function createExporter(options, context)", got ${Object.keys(module).join(', ')}`)
}

/** The result of createExporter. Throws an Error unless it has all required members. */
export function checkExporter(made: unknown): PackageExporter {
  if (!isObject(made)) throw new Error(`createExporter: expected an exporter, got ${String(made)}`)
  const problem = exporterProblem(made)
  if (problem !== undefined) throw new Error(problem)
  // The only place where a foreign value gets a type; every member has been checked.
  return made as PackageExporter
}

function exporterProblem(made: object): string | undefined {
  const type = get(made, 'type')
  if (typeof type !== 'string' || type === '') return `type: expected a name, got ${text(type)}`
  const encoding = get(made, 'encoding')
  if (!ENCODINGS.some((known) => known === encoding)) {
    return `encoding: expected one of ${ENCODINGS.join(', ')}, got ${text(encoding)}`
  }
  const missing = METHODS.filter((name) => typeof get(made, name) !== 'function')
  if (missing.length > 0) return `expected the methods ${METHODS.join(', ')}, got none called ${missing.join(', ')}`
  for (const name of ['reopen', 'probe']) {
    const method = get(made, name)
    if (method !== undefined && typeof method !== 'function') return `${name}: expected a function, got ${text(method)}`
  }
  const most = get(made, 'maxConcurrency') ?? 1
  if (!(Number.isInteger(most) && Number(most) >= 1 && Number(most) <= MAX_CONCURRENCY)) {
    return `maxConcurrency: expected 1 to ${MAX_CONCURRENCY}, got ${text(most)}`
  }
  return undefined
}

function isCreate(value: unknown): value is CreateExporter {
  return typeof value === 'function'
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

function get(from: object, name: string): unknown {
  return Reflect.get(from, name)
}

function text(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value) ?? typeof value)
}
