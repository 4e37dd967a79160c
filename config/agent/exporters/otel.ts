/**
 * Fills in an exporter's config from OTEL_* variables. Precedence: config > `_LOGS_` variable > general variable > default; for headers and
 * resource attributes separately for each name.
 */
import type { Environment } from '../loading/substitute.ts'
import type { OtlpExporterConfig } from './otlp.ts'
import type { ResourceConfig } from './otlp-records.ts'
import { SERVICE_NAME, Variables } from './otel-variables.ts'
import type { Found } from './otel-variables.ts'

const DEFAULT_ENDPOINT = 'http://localhost:4318'
const DEFAULT_TIMEOUT_MS = 10_000
const DEFAULT_SERVICE_NAME = 'ktrail'
/** The header that `tenant` becomes. */
export const TENANT_HEADER = 'x-scope-orgid'

/** One exporter's view of the environment: reads variables and records their use. */
export class OtelEnvironment {
  readonly #variables: Variables
  /** Paths of values within the exporter, and their variables; `default` for an endpoint that is set nowhere. */
  readonly sources: Array<readonly [path: readonly string[], variable: string]> = []

  constructor(env: Environment) {
    this.#variables = new Variables(env)
  }

  /** Messages about ignored variables. */
  get warnings(): readonly string[] {
    return this.#variables.warnings
  }

  /** The config with values of variables and defaults. The exporter checks whether the result works. */
  otlp(config: OtlpExporterConfig) {
    const filled = { ...config, ...this.#endpoint(config) }
    return this.resource({
      ...filled,
      headers: this.#headers(config),
      compression: config.compression ?? this.#take(this.#variables.compression(), 'compression') ?? 'gzip',
      request_timeout:
        config.request_timeout ?? this.#take(this.#variables.timeoutMs(), 'request_timeout') ?? DEFAULT_TIMEOUT_MS,
      protocol: config.protocol ?? this.#take(this.#variables.protocol(), 'protocol') ?? 'http/protobuf',
      tls: this.#tls(config.tls, /^https:/i.test(logsAddress(filled))),
    } as const)
  }

  /** Fills in the resource only, for records that are not sent over HTTP. `within`: the path of its keys. */
  resource<T extends ResourceConfig>(config: T, ...within: string[]): T {
    const { [SERVICE_NAME]: named, ...others } = this.#variables.attributes()
    const attributes = this.#added(config.resource_attributes, others, ...within, 'resource_attributes')
    const isNamed = config.service_name !== undefined || SERVICE_NAME in config.resource_attributes
    const name = isNamed
      ? config.service_name
      : (this.#take(this.#variables.serviceName() ?? named, ...within, 'service_name') ?? DEFAULT_SERVICE_NAME)
    return { ...config, service_name: name, resource_attributes: attributes }
  }

  #endpoint({ endpoint, logs_endpoint }: OtlpExporterConfig): Pick<OtlpExporterConfig, 'logs_endpoint'> {
    if (endpoint !== undefined || logs_endpoint !== undefined) return { logs_endpoint }
    const whole = this.#take(this.#variables.endpoint('LOGS_ENDPOINT'), 'logs_endpoint')
    if (whole !== undefined) return { logs_endpoint: logsAddress({ logs_endpoint: whole }) }
    const byDefault = { value: DEFAULT_ENDPOINT, variable: 'default' }
    const base = this.#take(this.#variables.endpoint('ENDPOINT') ?? byDefault, 'logs_endpoint')
    return { logs_endpoint: logsAddress({ endpoint: base }) }
  }

  /** Header names are case-insensitive. */
  #headers({ headers, tenant }: OtlpExporterConfig): OtlpExporterConfig['headers'] {
    const own = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
    if (tenant !== undefined) own.add(TENANT_HEADER)
    const found = [
      ...Object.entries(this.#variables.headers('HEADERS')),
      ...Object.entries(this.#variables.headers('LOGS_HEADERS')),
    ]
      .map(([name, each]) => [name.toLowerCase(), each] as const)
      .filter(([name]) => !own.has(name))
    return this.#added(headers, Object.fromEntries(found), 'headers')
  }

  /** Certificates from variables are only used for https, and a client certificate only with its key. */
  #tls(config: OtlpExporterConfig['tls'], isSecure: boolean): OtlpExporterConfig['tls'] {
    const { ca_file = this.#take(this.#variables.file('CERTIFICATE', isSecure), 'tls', 'ca_file') } = config
    const cert = config.cert_file === undefined ? this.#variables.file('CLIENT_CERTIFICATE', isSecure) : undefined
    const key = config.key_file === undefined ? this.#variables.file('CLIENT_KEY', isSecure) : undefined
    const hasCert = (config.cert_file ?? cert) !== undefined
    const hasKey = (config.key_file ?? key) !== undefined
    const single = hasCert === hasKey ? undefined : (cert ?? key)
    if (single !== undefined) {
      this.#variables.leaveOut(single.variable, 'a certificate with a key', 'one of both')
      return { ...config, ca_file }
    }
    const { cert_file = this.#take(cert, 'tls', 'cert_file'), key_file = this.#take(key, 'tls', 'key_file') } = config
    return { ...config, ca_file, cert_file, key_file }
  }

  /** The config's entries, then those of variables with other names. */
  #added(
    own: Readonly<Record<string, string>>,
    found: Readonly<Record<string, Found<string>>>,
    ...path: string[]
  ): Record<string, string> {
    const others = Object.entries(found).filter(([name]) => !Object.hasOwn(own, name))
    return { ...own, ...Object.fromEntries(others.map(([name, each]) => [name, this.#take(each, ...path, name)])) }
  }

  #take<T>(found: Found<T>, ...path: string[]): T
  #take<T>(found: Found<T> | undefined, ...path: string[]): T | undefined
  #take<T>(found: Found<T> | undefined, ...path: string[]): T | undefined {
    if (found !== undefined) this.sources.push([path, found.variable])
    return found?.value
  }
}

/** The URL for records: `logs_endpoint` as it is, or `v1/logs` below the path of `endpoint`. */
export function logsAddress({
  endpoint = DEFAULT_ENDPOINT,
  logs_endpoint,
}: Pick<OtlpExporterConfig, 'endpoint' | 'logs_endpoint'>): string {
  if (logs_endpoint !== undefined) return new URL(logs_endpoint).href
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/logs`
  return url.href
}
