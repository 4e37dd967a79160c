/**
 * What is in force of a config: what follows from other values, the name of the host and, for what an OTLP exporter leaves out, the
 * OTEL_* variables (export.md §1.4).
 */
import { kafka } from '../../config/agent/exporters/kafka.ts'
import { otlp } from '../../config/agent/exporters/otlp.ts'
import { filledIn } from '../../config/agent/effective.ts'
import { writtenForm } from '../../config/agent/print.ts'
import type { Config, ExporterConfig } from '../../config/agent/schema.ts'
import { formatDuration } from '../../config/yaml/units.ts'
import { resolveOtlpOptions } from '../../exporters/index.ts'
import type { ResolvedOtlp, ResolvedResource } from '../../exporters/index.ts'
import { nodeNameOf } from '../node-name.ts'
import { kafkaResourceOf } from './kafka.ts'
import { otlpValuesOf } from './otlp.ts'
import type { OutputContext } from './output.ts'

type Path = readonly string[]

export interface Effective {
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
  /** Within the exporter. */
  readonly path: Path
  readonly value: string
  readonly origin: string
}

/** What the environment does to an exporter. */
interface Influence {
  readonly additions: readonly Addition[]
  readonly warnings: readonly string[]
  /** Of such an exporter and what is in it, in the order in which they are printed. */
  readonly keys: readonly string[]
}

export function effective(config: Config, env: OutputContext['env']): Effective {
  const nodeName = nodeNameOf(config, env)
  const written = writtenForm({ ...filledIn(config), node_name: nodeName.value })
  const sources: Array<readonly [Path, string]> = []
  if (nodeName.origin !== 'config') sources.push([['node_name'], nodeName.origin])
  const warnings: string[] = []
  const exporters = Object.entries(written.exporters).map(([name, exporter]) => {
    const own = config.exporters[name]
    const influence = own && influenceOn(own, env)
    if (influence === undefined) return [name, exporter] as const
    for (const { path, origin } of influence.additions) sources.push([['exporters', name, ...path], origin])
    for (const warning of influence.warnings) warnings.push(`exporters.${name}: ${warning}`)
    return [name, withAdditions(exporter, influence)] as const
  })
  return { written: { ...written, exporters: Object.fromEntries(exporters) }, sources, warnings }
}

function influenceOn(exporter: ExporterConfig, env: OutputContext['env']): Influence | undefined {
  if (exporter.type === 'otlp') {
    const resolved = resolveOtlpOptions(otlpValuesOf(exporter), env)
    const additions = additionsOf([...ofRequests(resolved), ...ofResource(resolved)])
    return { additions, warnings: resolved.warnings, keys: Object.keys(otlp.shape) }
  }
  const resource = exporter.type === 'kafka' ? kafkaResourceOf(exporter, env) : undefined
  if (resource === undefined) return undefined
  const additions = additionsOf(ofResource(resource).map(([path, each]) => [['otlp', ...path], each] as const))
  return {
    additions,
    warnings: resource.warnings,
    keys: [...Object.keys(kafka.shape), ...Object.keys(kafka.shape.otlp.unwrap().shape)],
  }
}

type Found = readonly [path: Path, value: ResolvedResource['serviceName'] | undefined]

function ofRequests(found: ResolvedOtlp): Found[] {
  const { endpoint, protocol, compression, timeoutMs, caFile, certFile, keyFile } = found
  return [
    [['logs_endpoint'], endpoint],
    [['protocol'], protocol],
    [['compression'], compression],
    [['request_timeout'], { value: formatDuration(timeoutMs.value), origin: timeoutMs.origin }],
    [['tls', 'ca_file'], caFile],
    [['tls', 'cert_file'], certFile],
    [['tls', 'key_file'], keyFile],
    ...Object.entries(found.headers).map(([name, each]) => [['headers', name], each] as const),
  ]
}

function ofResource({ serviceName, resourceAttributes }: ResolvedResource): Found[] {
  const attributes = Object.entries(resourceAttributes).map(
    ([name, each]) => [['resource_attributes', name], each] as const,
  )
  return [[['service_name'], serviceName], ...attributes]
}

function additionsOf(found: readonly Found[]): Addition[] {
  return found.flatMap(([path, each]) => (each === undefined || each.origin === 'config' ? [] : [{ path, ...each }]))
}

function withAdditions(exporter: object, { additions, keys }: Influence): object {
  return additions.reduce((so, { path, value }) => withValue(so, path, value, keys), exporter)
}

/** A copy with one value more, some objects deep. Names that are no keys of the schema stay in their order. */
function withValue(object: object, [key = '', ...deeper]: Path, value: string, keys: Influence['keys']): object {
  const filled = new Map<string, unknown>(Object.entries(object))
  const inner = filled.get(key)
  const within = typeof inner === 'object' && inner !== null ? inner : {}
  filled.set(key, deeper.length === 0 ? value : withValue(within, deeper, value, keys))
  return Object.fromEntries([...filled].toSorted(([a], [b]) => keys.indexOf(a) - keys.indexOf(b)))
}
