/**
 * What is in force of a config: what follows from other values, the name of the host and, for what an OTLP exporter leaves out, the
 * OTEL_* variables (export.md §1.4).
 */
import { otlp } from '../../config/exporters/otlp.ts'
import { filledIn } from '../../config/in-force.ts'
import { writtenForm } from '../../config/print.ts'
import type { Config } from '../../config/schema.ts'
import { formatDuration } from '../../config/units.ts'
import { resolveOtlpOptions } from '../../exporters/index.ts'
import type { ResolvedOtlp } from '../../exporters/index.ts'
import { nodeNameOf } from '../node-name.ts'
import { otlpValuesOf } from './otlp.ts'
import type { OutputContext } from './output.ts'

type Path = readonly string[]

export interface InForce {
  /**
   * The config as a user would write it, with what no config file has. No schema sees it again: config and variables together
   * may say what a config alone may not.
   */
  readonly written: unknown
  /** Where that comes from: a variable's name, `default` or `host name`. */
  readonly sources: ReadonlyArray<readonly [path: Path, origin: string]>
  /** Sentences about variables that were left out. */
  readonly warnings: readonly string[]
}

/** A value that no config file has. */
interface Addition {
  /** Within the exporter: one or two keys. */
  readonly path: Path
  readonly value: string
  readonly origin: string
}

/** In the order in which they are printed. */
const KEYS = Object.keys(otlp.shape)

export function inForce(config: Config, env: OutputContext['env']): InForce {
  const nodeName = nodeNameOf(config, env)
  const written = writtenForm({ ...filledIn(config), node_name: nodeName.value })
  const sources: Array<readonly [Path, string]> = []
  if (nodeName.origin !== 'config') sources.push([['node_name'], nodeName.origin])
  const warnings: string[] = []
  const exporters = Object.entries(written.exporters).map(([name, exporter]) => {
    const own = config.exporters[name]
    if (own?.type !== 'otlp') return [name, exporter] as const
    const resolved = resolveOtlpOptions(otlpValuesOf(own), env)
    const additions = additionsOf(resolved)
    for (const { path, origin } of additions) sources.push([['exporters', name, ...path], origin])
    for (const warning of resolved.warnings) warnings.push(`exporters.${name}: ${warning}`)
    return [name, withAdditions(exporter, additions)] as const
  })
  return { written: { ...written, exporters: Object.fromEntries(exporters) }, sources, warnings }
}

function additionsOf(found: ResolvedOtlp): Addition[] {
  const { endpoint, protocol, compression, timeoutMs, serviceName, caFile, certFile, keyFile } = found
  return [
    [['logs_endpoint'], endpoint] as const,
    [['protocol'], protocol] as const,
    [['compression'], compression] as const,
    [['request_timeout'], { value: formatDuration(timeoutMs.value), origin: timeoutMs.origin }] as const,
    [['service_name'], serviceName] as const,
    [['tls', 'ca_file'], caFile] as const,
    [['tls', 'cert_file'], certFile] as const,
    [['tls', 'key_file'], keyFile] as const,
    ...Object.entries(found.headers).map(([name, each]) => [['headers', name], each] as const),
    ...Object.entries(found.resourceAttributes).map(([name, each]) => [['resource_attributes', name], each] as const),
  ].flatMap(([path, each]) => (each === undefined || each.origin === 'config' ? [] : [{ path, ...each }]))
}

function withAdditions(exporter: object, additions: readonly Addition[]): object {
  const filled = new Map<string, unknown>(Object.entries(exporter))
  for (const { path, value } of additions) {
    const [key = '', inner] = path
    filled.set(key, inner === undefined ? value : Object.assign({}, filled.get(key), { [inner]: value }))
  }
  return Object.fromEntries([...filled].toSorted(([a], [b]) => KEYS.indexOf(a) - KEYS.indexOf(b)))
}
