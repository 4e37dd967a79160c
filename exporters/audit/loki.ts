/**
 * Records that a query selects in Grafana Loki, by its HTTP API: `loki://HOST[:PORT][/PATH]?QUERY`, with TLS as `lokis://`. The query is LogQL such as
 * `{service_name="ktrail"}`. Records come in the order of their time, so the order of their numbers is not judged.
 */
import https from 'node:https'
import { AnswerTooLarge, answerTo, bodyOf } from '../../config/base/answers.ts'
import { http } from '../../config/base/http.ts'
import { ExportError, textOf } from '../contract/errors.ts'
import { NO_ORDER } from './audit.ts'
import type { NumberedRecord } from './audit.ts'
import { numbersOf } from './envelope.ts'
import { attributeOf } from './otlp.ts'
import type { Source, SourceOptions } from './source.ts'

/** A server with default limits answers only up to some 1,300 of our records. */
const PAGE = 500
const HOUR_MS = 3_600_000

interface Entry {
  readonly ns: bigint
  readonly labels: ReadonlyMap<string, string>
}

/** Throws ExportError UNUSABLE for a wrong address, IO when Loki does not answer. */
export function lokiSource(address: string, { env, sinceMs, nowMs, signal, heard }: SourceOptions): Source {
  const { url, query } = parse(address)
  return async function* records() {
    let from = BigInt(Math.floor(sinceMs ?? nowMs - HOUR_MS)) * 1_000_000n
    const to = BigInt(Math.floor(nowMs)) * 1_000_000n + 1n
    // Entries of one nanosecond may be on both sides of a page.
    let seen = new Set<string>()
    let limit = PAGE
    for (;;) {
      const entries = await page(url, { query, from, to, limit }, env, signal)
      heard()
      if (entries === undefined) {
        limit = Math.ceil(limit / 4)
        continue
      }
      const fresh = entries.filter((entry) => !seen.has(keyOf(entry)))
      for (const entry of fresh) yield recordOf(entry)
      const last = entries.at(-1)
      if (last === undefined || entries.length < limit) return
      if (fresh.length === 0)
        throw new ExportError('IO', `cannot read ${shown(url)}: more than ${limit} records with the same time`)
      if (last.ns !== from) seen = new Set()
      for (const entry of entries) if (entry.ns === last.ns) seen.add(keyOf(entry))
      from = last.ns
    }
  }
}

function recordOf({ ns, labels }: Entry): NumberedRecord | undefined {
  const node = labels.get('service_instance_id') ?? ''
  const timeMs = Number(ns / 1_000_000n)
  return numbersOf((name) => labels.get(attributeOf(name).replaceAll('.', '_')), { place: NO_ORDER, node, timeMs })
}

/** undefined: the answer is too large, so fewer records must be requested. */
async function page(
  url: URL,
  { query, from, to, limit }: { query: string; from: bigint; to: bigint; limit: number },
  env: SourceOptions['env'],
  signal: AbortSignal,
): Promise<readonly Entry[] | undefined> {
  const asked = new URL(url)
  asked.search = String(
    new URLSearchParams({ query, start: String(from), end: String(to), limit: String(limit), direction: 'forward' }),
  )
  const headers: Record<string, string> = {}
  if (env['LOKI_BEARER_TOKEN'] !== undefined) headers['authorization'] = `Bearer ${env['LOKI_BEARER_TOKEN']}`
  if (env['LOKI_ORG_ID'] !== undefined) headers['x-scope-orgid'] = env['LOKI_ORG_ID']
  try {
    const request = (url.protocol === 'https:' ? https : http).request(asked, { headers, signal })
    request.end()
    const answer = await answerTo(request)
    const text = String(await bodyOf(answer))
    if (answer.statusCode !== 200)
      throw new Error(`expected status 200, got ${answer.statusCode}: ${text.slice(0, 300)}`)
    return entriesOf(JSON.parse(text))
  } catch (error) {
    if (error instanceof AnswerTooLarge && limit > 1) return undefined
    throw new ExportError('IO', `cannot read ${shown(url)}: ${textOf(error)}`, error)
  }
}

/** Without user and password. */
function shown({ origin, pathname }: URL): string {
  return origin + pathname
}

/** The entries of `data.result`: streams with labels, which include the attributes of their entries. Ascending by time. */
function entriesOf(answer: unknown): readonly Entry[] {
  const result = member(member(answer, 'data'), 'result')
  if (!Array.isArray(result)) throw new Error('expected data.result with streams')
  const entries: Entry[] = []
  for (const stream of result) {
    const labels = new Map<string, string>()
    for (const [name, value] of Object.entries(Object(member(stream, 'stream')))) labels.set(name, String(value))
    const values = member(stream, 'values')
    for (const value of Array.isArray(values) ? values : []) {
      const [ns] = Array.isArray(value) ? value : []
      if (typeof ns === 'string' && /^\d{1,19}$/.test(ns)) entries.push({ ns: BigInt(ns), labels })
    }
  }
  return entries.toSorted((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0))
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}

function keyOf({ ns, labels }: Entry): string {
  return [ns, ...['service_instance_id', 'log_record_uid', 'agent_exporter_seq'].map((name) => labels.get(name))].join()
}

function parse(address: string): { readonly url: URL; readonly query: string } {
  const at = address.indexOf('?')
  const base = address.slice(0, at).replace(/^loki/, 'http')
  const query = address.slice(at + 1)
  if (at < 0 || query === '' || !URL.canParse(base)) {
    throw new ExportError(
      'UNUSABLE',
      `expected an address such as loki://loki:3100?{service_name="ktrail"}, got "${address}"`,
    )
  }
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/loki/api/v1/query_range`
  return { url, query }
}
