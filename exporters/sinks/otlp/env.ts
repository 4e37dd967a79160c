/**
 * Which of several values counts: config > `_LOGS_` variable > general variable > default, key by key for headers and
 * resource attributes. Source: export.md §1.4.
 */
import type { Compression } from '../../runtime/compression.ts'
import { SERVICE_NAME, Variables } from './variables.ts'
import type { Env, OtlpProtocol, Sourced } from './variables.ts'

/** What the user's config says; an absent key leaves the choice to the environment. */
export interface OtlpConfigValues {
  /** Base address: `v1/logs` is appended. */
  readonly endpoint?: string | undefined
  /** The whole address, used as it is. Wins over `endpoint`. */
  readonly logsEndpoint?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly compression?: Compression | undefined
  readonly timeoutMs?: number | undefined
  readonly protocol?: OtlpProtocol | undefined
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly serviceName?: string | undefined
  readonly resourceAttributes?: Readonly<Record<string, string>> | undefined
}

export interface ResolvedResource {
  readonly serviceName: Sourced<string>
  readonly resourceAttributes: Readonly<Record<string, Sourced<string>>>
  /** Sentences about variables that were left out. */
  readonly warnings: readonly string[]
}

export interface ResolvedOtlp extends ResolvedResource {
  /** With path. */
  readonly endpoint: Sourced<string>
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, Sourced<string>>>
  readonly compression: Sourced<Compression>
  readonly timeoutMs: Sourced<number>
  readonly protocol: Sourced<OtlpProtocol>
  readonly caFile: Sourced<string> | undefined
  readonly certFile: Sourced<string> | undefined
  readonly keyFile: Sourced<string> | undefined
}

const DEFAULT_BASE = 'http://localhost:4318'
const DEFAULT_TIMEOUT_MS = 10_000
const DEFAULT_SERVICE_NAME = 'ktrail'

/** Works out every value and its origin. Never throws: whether the result works is the exporter's to say. */
export function resolveOtlpOptions(config: OtlpConfigValues, env: Env): ResolvedOtlp {
  const variables = new Variables(env)
  const endpoint = endpointOf(config, variables)
  return {
    endpoint,
    headers: {
      ...lowerCase(variables.headers('HEADERS')),
      ...lowerCase(variables.headers('LOGS_HEADERS')),
      ...lowerCase(fromConfig(config.headers)),
    },
    compression: own(config.compression) ?? variables.compression() ?? byDefault<Compression>('gzip'),
    timeoutMs: own(config.timeoutMs) ?? variables.timeoutMs() ?? byDefault(DEFAULT_TIMEOUT_MS),
    protocol: own(config.protocol) ?? variables.protocol() ?? byDefault<OtlpProtocol>('http/protobuf'),
    ...filesOf(config, variables, /^https:/i.test(endpoint.value)),
    ...resourceOf(config, variables),
  }
}

/** The same of the resource alone: for records that do not go over HTTP. */
export function resolveOtlpResource(config: ResourceValues, env: Env): ResolvedResource {
  return resourceOf(config, new Variables(env))
}

type ResourceValues = Pick<OtlpConfigValues, 'serviceName' | 'resourceAttributes'>

function resourceOf(config: ResourceValues, variables: Variables): ResolvedResource {
  const attributes = { ...variables.attributes(), ...fromConfig(config.resourceAttributes) }
  const { [SERVICE_NAME]: named, ...resourceAttributes } = attributes
  const ownName = config.serviceName ?? config.resourceAttributes?.[SERVICE_NAME]
  return {
    serviceName: own(ownName) ?? variables.serviceName() ?? named ?? byDefault(DEFAULT_SERVICE_NAME),
    resourceAttributes,
    warnings: variables.warnings,
  }
}

function own<T>(value: T | undefined): Sourced<T> | undefined {
  return value === undefined ? undefined : { value, origin: 'config' }
}

function byDefault<T>(value: T): Sourced<T> {
  return { value, origin: 'default' }
}

function endpointOf({ endpoint, logsEndpoint }: OtlpConfigValues, variables: Variables): Sourced<string> {
  if (logsEndpoint !== undefined) return { value: asIs(logsEndpoint), origin: 'config' }
  if (endpoint !== undefined) return { value: appended(endpoint), origin: 'config' }
  const whole = variables.endpoint('LOGS_ENDPOINT')
  if (whole !== undefined) return { value: asIs(whole.value), origin: whole.origin }
  const { value, origin } = variables.endpoint('ENDPOINT') ?? byDefault(DEFAULT_BASE)
  return { value: appended(value), origin }
}

/** Certificates. Those of variables count where they can be used: for https, and a client's only with its key. */
function filesOf(
  config: OtlpConfigValues,
  variables: Variables,
  isSecure: boolean,
): Pick<ResolvedOtlp, 'caFile' | 'certFile' | 'keyFile'> {
  const file = (path: string | undefined, name: string): Sourced<string> | undefined =>
    own(path) ?? variables.file(name, isSecure)
  const caFile = file(config.caFile, 'CERTIFICATE')
  const certFile = file(config.certFile, 'CLIENT_CERTIFICATE')
  const keyFile = file(config.keyFile, 'CLIENT_KEY')
  const single = certFile === undefined ? keyFile : keyFile === undefined ? certFile : undefined
  if (single === undefined || single.origin === 'config') return { caFile, certFile, keyFile }
  variables.leaveOut(single.origin, 'a certificate with a key', 'one of both')
  return { caFile, certFile: undefined, keyFile: undefined }
}

/** `v1/logs` below the path of a base; what cannot be read is left as it is, for the exporter to refuse. */
function appended(base: string): string {
  if (!URL.canParse(base)) return base
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/logs`
  return url.href
}

function asIs(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).href : endpoint
}

function fromConfig(values: Readonly<Record<string, string>> | undefined): Record<string, Sourced<string>> {
  return Object.fromEntries(Object.entries(values ?? {}).map(([key, value]) => [key, { value, origin: 'config' }]))
}

/** Header names are equal whatever their case: one of them must win. */
function lowerCase(headers: Record<string, Sourced<string>>): Record<string, Sourced<string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
