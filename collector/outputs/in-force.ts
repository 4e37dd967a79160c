/** What is in force of a config: for what it leaves out of an OTLP exporter, the OTEL_* variables count (export.md §1.4). */
import type { Config, OtlpExporterConfig } from '../../config/schema.ts'
import { resolveOtlpOptions } from '../../exporters/index.ts'
import { otlpValuesOf } from './otlp.ts'
import type { OutputContext } from './output.ts'

type Path = readonly string[]

/** Values that no config file has, and where each comes from: a variable's name, or `default`. */
export type Sources = ReadonlyArray<readonly [path: Path, origin: string]>

/** The config with those values in it. */
export function inForce(config: Config, env: OutputContext['env']): { config: Config; sources: Sources } {
  const sources: Array<readonly [Path, string]> = []
  const exporters = Object.entries(config.exporters).map(([name, exporter]) => {
    if (exporter.type !== 'otlp') return [name, exporter] as const
    return [
      name,
      resolved(exporter, env, (path, origin) => sources.push([['exporters', name, ...path], origin])),
    ] as const
  })
  return { config: { ...config, exporters: Object.fromEntries(exporters) }, sources }
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
