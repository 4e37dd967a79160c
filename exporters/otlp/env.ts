/**
 * The OTEL_EXPORTER_OTLP_* variables, and which of several values counts: config > `_LOGS_` variable > general variable >
 * default, key by key for headers and resource attributes. A variable that cannot be read is left out with a warning, as
 * the specification of OpenTelemetry demands. Source: export.md §1.4.
 */
import { MAX_TIMER_MS } from '../../config/units.ts'
import type { Compression } from '../compression.ts'

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

export type OtlpProtocol = 'http/protobuf' | 'http/json'

/** A value and where it comes from: `config`, the name of a variable, or `default`. */
export interface Sourced<T> {
  readonly value: T
  readonly origin: string
}

export interface ResolvedOtlp {
  /** With path. */
  readonly endpoint: Sourced<string>
  readonly headers: Readonly<Record<string, Sourced<string>>>
  readonly compression: Sourced<Compression>
  readonly timeoutMs: Sourced<number>
  readonly protocol: Sourced<OtlpProtocol>
  readonly caFile: Sourced<string> | undefined
  readonly certFile: Sourced<string> | undefined
  readonly keyFile: Sourced<string> | undefined
  readonly serviceName: Sourced<string>
  readonly resourceAttributes: Readonly<Record<string, Sourced<string>>>
  /** Sentences about variables that were left out. */
  readonly warnings: readonly string[]
}

type Env = Readonly<Record<string, string | undefined>>

const PREFIX = 'OTEL_EXPORTER_OTLP_'
const DEFAULT_BASE = 'http://localhost:4318'
const DEFAULT_TIMEOUT_MS = 10_000
const PROTOCOLS: readonly OtlpProtocol[] = ['http/protobuf', 'http/json']
const COMPRESSIONS: readonly Compression[] = ['none', 'gzip']

/** Works out every value and its origin. Never throws: whether the result works is the exporter's to say. */
export function resolveOtlpOptions(config: OtlpConfigValues, env: Env, defaultServiceName = 'ktrail'): ResolvedOtlp {
  const warnings: string[] = []
  const variable = <T>(
    names: readonly string[],
    parse: (text: string, name: string) => T | undefined,
  ): Sourced<T> | undefined => {
    for (const name of names) {
      const text = env[name]?.trim() ?? ''
      // Empty is the same as unset.
      if (text === '') continue
      const value = parse(text, name)
      if (value !== undefined) return { value, origin: name }
    }
    return undefined
  }
  const oneOf =
    <T extends string>(allowed: readonly T[]) =>
    (text: string, name: string): T | undefined => {
      const found = allowed.find((value) => value === text.toLowerCase())
      if (found === undefined) warnings.push(ignored(name, text, `one of ${allowed.join(', ')}`))
      return found
    }
  const both = (name: string): readonly string[] => [`${PREFIX}LOGS_${name}`, `${PREFIX}${name}`]
  const file = (own: string | undefined, name: string): Sourced<string> | undefined =>
    pick(
      own,
      variable(both(name), (text) => text),
    )
  const milliseconds = (text: string, name: string): number | undefined => {
    const value = Number(text)
    if (value > 0 && value <= MAX_TIMER_MS) return value
    warnings.push(ignored(name, text, `milliseconds above 0, at most ${MAX_TIMER_MS}`))
    return undefined
  }
  const pairs = (name: string): Record<string, Sourced<string>> => pairsOf(env[name], name, warnings)
  const attributes = { ...pairs('OTEL_RESOURCE_ATTRIBUTES'), ...fromConfig(config.resourceAttributes) }
  const named =
    pick(
      config.serviceName,
      variable(['OTEL_SERVICE_NAME'], (text) => text),
    ) ?? attributes['service.name']
  delete attributes['service.name']
  return {
    endpoint: endpointOf(config, (name, parse) => variable([name], parse), warnings),
    headers: {
      ...lowerCase(pairs(`${PREFIX}HEADERS`)),
      ...lowerCase(pairs(`${PREFIX}LOGS_HEADERS`)),
      ...lowerCase(fromConfig(config.headers)),
    },
    compression: pick(config.compression, variable(both('COMPRESSION'), oneOf(COMPRESSIONS))) ?? byDefault('gzip'),
    timeoutMs: pick(config.timeoutMs, variable(both('TIMEOUT'), milliseconds)) ?? byDefault(DEFAULT_TIMEOUT_MS),
    protocol: pick(config.protocol, variable(both('PROTOCOL'), oneOf(PROTOCOLS))) ?? byDefault('http/protobuf'),
    caFile: file(config.caFile, 'CERTIFICATE'),
    certFile: file(config.certFile, 'CLIENT_CERTIFICATE'),
    keyFile: file(config.keyFile, 'CLIENT_KEY'),
    serviceName: named ?? byDefault(defaultServiceName),
    resourceAttributes: attributes,
    warnings,
  }
}

function pick<T>(own: T | undefined, found: Sourced<T> | undefined): Sourced<T> | undefined {
  return own === undefined ? found : { value: own, origin: 'config' }
}

function byDefault<T>(value: T): Sourced<T> {
  return { value, origin: 'default' }
}

function endpointOf(
  config: OtlpConfigValues,
  variable: (name: string, parse: (text: string, name: string) => string | undefined) => Sourced<string> | undefined,
  warnings: string[],
): Sourced<string> {
  if (config.logsEndpoint !== undefined) return { value: asIs(config.logsEndpoint), origin: 'config' }
  if (config.endpoint !== undefined) return { value: appended(config.endpoint), origin: 'config' }
  const url = (text: string, name: string): string | undefined => {
    if (URL.canParse(text) && /^https?:/i.test(text)) return text
    // Not the text itself: it may hold a password or a token.
    warnings.push(`${name} is left out: expected an http or https URL`)
    return undefined
  }
  const own = variable(`${PREFIX}LOGS_ENDPOINT`, url)
  if (own !== undefined) return { value: asIs(own.value), origin: own.origin }
  const general = variable(`${PREFIX}ENDPOINT`, url) ?? byDefault(DEFAULT_BASE)
  return { value: appended(general.value), origin: general.origin }
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

/** `k1=v1,k2=v2`, names and values percent-encoded. A pair that cannot be read is left out. */
function pairsOf(text: string | undefined, name: string, warnings: string[]): Record<string, Sourced<string>> {
  const found: Record<string, Sourced<string>> = {}
  for (const pair of (text ?? '').split(',')) {
    if (pair.trim() === '') continue
    const at = pair.indexOf('=')
    const key = at <= 0 ? undefined : decoded(pair.slice(0, at))
    const value = at <= 0 ? undefined : decoded(pair.slice(at + 1))
    // Not the pair itself: it may hold a secret.
    if (key === undefined || key === '' || value === undefined)
      warnings.push(`${name}: a pair is left out: expected key=value, percent-encoded`)
    else found[key] = { value, origin: name }
  }
  return found
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim())
  } catch {
    return undefined
  }
}

function fromConfig(values: Readonly<Record<string, string>> | undefined): Record<string, Sourced<string>> {
  return Object.fromEntries(Object.entries(values ?? {}).map(([key, value]) => [key, { value, origin: 'config' }]))
}

/** Header names are equal whatever their case: one of them must win. */
function lowerCase(headers: Record<string, Sourced<string>>): Record<string, Sourced<string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function ignored(name: string, got: string, expected: string): string {
  return `${name} is left out: expected ${expected}, got "${got}"`
}
