/**
 * What is in force of a config: what follows from other values, the name of the host and, for what an OTLP exporter leaves out, the
 * OTEL_* variables (export.md §1.4).
 */
import { filledIn } from '../../config/in-force.ts'
import type { Config, OtlpExporterConfig } from '../../config/schema.ts'
import { resolveOtlpOptions } from '../../exporters/index.ts'
import { nodeNameOf } from '../node-name.ts'
import { otlpValuesOf } from './otlp.ts'
import type { OutputContext } from './output.ts'

type Path = readonly string[]

/** Values that no config file has, and where each comes from: a variable's name, `default` or `host name`. */
export type Sources = ReadonlyArray<readonly [path: Path, origin: string]>

/** The config with those values in it. */
export function inForce(config: Config, env: OutputContext['env']): { config: Config; sources: Sources } {
  const sources: Array<readonly [Path, string]> = []
  const nodeName = nodeNameOf(config, env)
  if (nodeName.origin !== 'config') sources.push([['node_name'], nodeName.origin])
  const filled = filledIn(config)
  const exporters = Object.entries(filled.exporters).map(([name, exporter]) => {
    if (exporter.type !== 'otlp') return [name, exporter] as const
    return [
      name,
      resolved(exporter, env, (path, origin) => sources.push([['exporters', name, ...path], origin])),
    ] as const
  })
  return { config: { ...filled, node_name: nodeName.value, exporters: Object.fromEntries(exporters) }, sources }
}

function resolved(
  config: OtlpExporterConfig,
  env: OutputContext['env'],
  note: (path: Path, origin: string) => void,
): OtlpExporterConfig {
  const found = resolveOtlpOptions(otlpValuesOf(config), env)
  const { endpoint, compression, timeoutMs, protocol, serviceName, caFile, certFile, keyFile } = found
  const value = <T>(path: Path, sourced: { readonly value: T; readonly origin: string }): T => {
    if (sourced.origin !== 'config') note(path, sourced.origin)
    return sourced.value
  }
  const values = (key: string, all: typeof found.headers): Record<string, string> =>
    Object.fromEntries(Object.entries(all).map(([name, each]) => [name, value([key, name], each)]))
  return {
    ...config,
    ...(endpoint.origin === 'config' ? {} : { logs_endpoint: value(['logs_endpoint'], endpoint) }),
    protocol: value(['protocol'], protocol),
    compression: value(['compression'], compression),
    request_timeout: value(['request_timeout'], timeoutMs),
    service_name: value(['service_name'], serviceName),
    headers: values('headers', found.headers),
    resource_attributes: values('resource_attributes', found.resourceAttributes),
    tls: {
      ...config.tls,
      ...(caFile === undefined ? {} : { ca_file: value(['tls', 'ca_file'], caFile) }),
      ...(certFile === undefined ? {} : { cert_file: value(['tls', 'cert_file'], certFile) }),
      ...(keyFile === undefined ? {} : { key_file: value(['tls', 'key_file'], keyFile) }),
    },
  }
}
