/**
 * The OTEL_* variables, checked by the rules of the config's schema. An invalid value is ignored with a warning, as OpenTelemetry's
 * specification demands; empty is the same as unset.
 */
import type { z } from 'zod'
import type { Environment } from '../loading/substitute.ts'
import { otlp, url } from './otlp.ts'

/** A value and its variable. */
export interface Found<T> {
  readonly value: T
  readonly variable: string
}

export const SERVICE_NAME = 'service.name'
const PREFIX = 'OTEL_EXPORTER_OTLP_'
const PROTOCOLS = ['http/protobuf', 'http/json'] as const
const COMPRESSIONS = ['none', 'gzip'] as const
/** The rules of the schema for values of variables. */
const RULES = otlp.shape
const NAME_RULE = 'a name of 1 to 255 characters'
const hidden = (): string => 'a value that is not shown'

/** The variables of one environment. */
export class Variables {
  readonly #env: Environment
  readonly warnings: string[] = []

  constructor(env: Environment) {
    this.#env = env
  }

  compression(): Found<(typeof COMPRESSIONS)[number]> | undefined {
    return this.#oneOf('COMPRESSION', COMPRESSIONS)
  }

  protocol(): Found<(typeof PROTOCOLS)[number]> | undefined {
    return this.#oneOf('PROTOCOL', PROTOCOLS)
  }

  timeoutMs(): Found<number> | undefined {
    const expected = 'whole milliseconds, at least 1 and at most 24 days'
    return this.#first(both('TIMEOUT'), expected, (text) =>
      /^\d+$/.test(text) ? taken(RULES.request_timeout, `${text}ms`) : undefined,
    )
  }

  /** A certificate or key; only used with an https endpoint. */
  file(name: string, isSecure: boolean): Found<string> | undefined {
    const parse = (text: string): string | undefined => (isSecure ? text : undefined)
    return this.#first(both(name), 'an https endpoint beside it', parse, () => 'http')
  }

  endpoint(name: string): Found<string> | undefined {
    const expected = 'an http or https URL without user and password'
    return this.#first([PREFIX + name], expected, (text) => taken(url, text), hidden)
  }

  serviceName(): Found<string> | undefined {
    return this.#first(['OTEL_SERVICE_NAME'], NAME_RULE, named, ({ length }) => `${length}`)
  }

  headers(name: string): Record<string, Found<string>> {
    return this.#pairs(PREFIX + name, (key, value) =>
      taken(RULES.headers, { [key]: value }) === undefined
        ? 'name and value as HTTP allows them in a header'
        : undefined,
    )
  }

  attributes(): Record<string, Found<string>> {
    return this.#pairs('OTEL_RESOURCE_ATTRIBUTES', (key, value) =>
      key === SERVICE_NAME && named(value) === undefined ? NAME_RULE : undefined,
    )
  }

  leaveOut(name: string, expected: string, got: string): void {
    this.warnings.push(`${name} is ignored: expected ${expected}, got ${got}`)
  }

  /** The first variable whose value `parse` accepts. `shown` describes an ignored value in its warning. */
  #first<T>(
    names: readonly string[],
    expected: string,
    parse: (text: string) => T | undefined,
    shown: (text: string) => string = (text) => `"${text}"`,
  ): Found<T> | undefined {
    for (const name of names) {
      const text = this.#env[name]?.trim() ?? ''
      if (text === '') continue
      const value = parse(text)
      if (value !== undefined) return { value, variable: name }
      this.leaveOut(name, expected, shown(text))
    }
    return undefined
  }

  #oneOf<T extends string>(name: string, allowed: readonly T[]): Found<T> | undefined {
    return this.#first(both(name), `one of ${allowed.join(', ')}`, (text) =>
      allowed.find((value) => value === text.toLowerCase()),
    )
  }

  /**
   * `k1=v1,k2=v2`, names and values percent-encoded. Ignores unreadable pairs, and pairs for which `problem` returns what was expected.
   */
  #pairs(name: string, problem: (key: string, value: string) => string | undefined): Record<string, Found<string>> {
    const found: Record<string, Found<string>> = {}
    for (const pair of (this.#env[name] ?? '').split(',')) {
      if (pair.trim() === '') continue
      const at = pair.indexOf('=')
      const key = at <= 0 ? '' : (decoded(pair.slice(0, at)) ?? '')
      const value = at <= 0 ? undefined : decoded(pair.slice(at + 1))
      const expected = key === '' || value === undefined ? 'key=value, percent-encoded' : problem(key, value)
      // Omits the pair: it may contain a secret.
      if (expected !== undefined) this.warnings.push(`${name}: a pair is ignored: expected ${expected}`)
      else if (value !== undefined) found[key] = { value, variable: name }
    }
    return found
  }
}

function both(name: string): readonly string[] {
  return [`${PREFIX}LOGS_${name}`, PREFIX + name]
}

function named(text: string): string | undefined {
  return taken(RULES.service_name, text)
}

/** The value that a config key would have from this text; undefined when the key refuses it. */
function taken<T>(rule: z.ZodType<T>, written: unknown): T | undefined {
  return rule.safeParse(written).data
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim())
  } catch {
    return undefined
  }
}
