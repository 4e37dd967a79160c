/**
 * The entries that a Loki makes of the golden events, as an exporter with `loki: true` sends them. test/fixtures/loki.jsonl has the answer of a
 * real one: test/integration-host/loki-container.test.ts compares it, and writes it with UPDATE_GOLDEN=1.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { createJsonEncoder } from '../../../exporters/encoding/json-line.ts'
import { createOtlpEncoder } from '../../../exporters/encoding/otlp/encode.ts'
import { RESOURCE, requestOf } from '../../unit/exporters/sinks/otlp/support.ts'
import { goldenEvents } from '../../unit/exporters/support/golden-events.ts'
import { exporterConfig } from '../exporter-config.ts'
import { requestFromProtobuf } from './decode.ts'
import { FakeLoki } from './loki.ts'
import type { LokiOptions } from './loki.ts'

const TEXTS = z.record(z.string(), z.string())
/** `metadata`: structured metadata by name. */
const KEPT = z.object({ stream: TEXTS, line: z.string(), metadata: TEXTS })
export type Kept = z.output<typeof KEPT>

const CONTENT = { arg_labels: true, file_details: true, pod_labels: ['app'] }

/** The answer of real ones, a line an entry: 3.5.0 and 3.7.6 give the same. */
export const ANSWER_FILE = new URL('../../fixtures/loki.jsonl', import.meta.url)

export function recordedAnswer(): Kept[] {
  const lines = readFileSync(ANSWER_FILE, 'utf8').trimEnd().split('\n')
  return lines.map((line) => KEPT.parse(JSON.parse(line)))
}

/** The golden events as one request, a nanosecond apart. `keys`: of the exporter. */
export function goldenRequest(nowMs: number, keys: object = {}): Buffer {
  const config = exporterConfig('otlp', { loki: true, ...CONTENT, ...keys })
  const json = createJsonEncoder({ nodeName: RESOURCE.nodeName })
  const observed = (): { sec: number; nsec: number } => ({ sec: 1_795_528_989, nsec: 0 })
  const encoder = createOtlpEncoder({ ...config, epoch: '1795520000', json, observed })
  const sec = Math.floor(nowMs / 1000)
  const events = goldenEvents().map((event, nsec) => ({ ...event, time: { sec, nsec } }))
  return requestOf(encoder.encode(events), { ...RESOURCE, hostId: 'fdbf79e8af94cb7f9e8df36789187052' })
}

/** The entries that the Loki of the tests makes of them. */
export function fakeAnswer(options: LokiOptions = {}, keys: object = {}): Kept[] {
  const loki = new FakeLoki(options)
  const body = goldenRequest(Date.now(), keys)
  const headers = { 'content-type': 'application/x-protobuf' }
  const { status } = loki.script({
    method: 'POST',
    path: '',
    peer: '',
    headers,
    raw: body,
    body,
    logs: () => requestFromProtobuf(body),
  })
  if (status !== 204) throw new Error(`the golden events are refused: ${status}`)
  return loki.entries.map(({ stream, line, metadata }) => {
    const pairs: Array<[string, string]> = JSON.parse(metadata)
    const names = pairs.map(([name]) => name)
    const twice = names.find((name, i) => names.indexOf(name) !== i)
    if (twice !== undefined) throw new Error(`${twice} is twice in ${metadata}`)
    const labels = [...stream.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value] as const)
    return sorted({ stream: Object.fromEntries(labels), line, metadata: Object.fromEntries(pairs) })
  })
}

/** Sends them to a Loki at this address (host:port), and returns its entries of them. */
export async function realAnswer(address: string): Promise<Kept[]> {
  const body = new Uint8Array(goldenRequest(Date.now()))
  const headers = { 'content-type': 'application/x-protobuf' }
  const sent = await fetch(`http://${address}/otlp/v1/logs`, { method: 'POST', body, headers })
  if (sent.status !== 204) throw new Error(`the golden events are refused: ${sent.status} ${await sent.text()}`)
  const parameters = new URLSearchParams({
    query: `{service_name="${RESOURCE.serviceName}"}`,
    limit: '1000',
    direction: 'forward',
  })
  // Else Loki mixes the labels of the stream with the metadata.
  const categorized = { headers: { 'X-Loki-Response-Encoding-Flags': 'categorize-labels' } }
  const answered = await fetch(`http://${address}/loki/api/v1/query_range?${parameters}`, categorized)
  const { data } = ANSWER.parse(await answered.json())
  return data.result
    .flatMap(({ stream, values }) =>
      values.map(([time, line, { structuredMetadata = {} }]) => ({ time, stream, line, metadata: structuredMetadata })),
    )
    .toSorted((a, b) => Number(BigInt(a.time) - BigInt(b.time)))
    .map(sorted)
}

const ENTRY = z.tuple([z.string(), z.string(), z.object({ structuredMetadata: TEXTS.optional() })])
const ANSWER = z.object({ data: z.object({ result: z.array(z.object({ stream: TEXTS, values: z.array(ENTRY) })) }) })

/** Left out: the time of the event, and the level that Loki guesses, in upper or lower case. */
const LEFT_OUT = new Set(['process_exit_time', 'detected_level'])

function sorted({ stream, line, metadata }: Kept): Kept {
  const inOrder = (texts: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(texts)
        .filter(([name]) => !LEFT_OUT.has(name))
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    )
  return { stream: inOrder(stream), line, metadata: inOrder(metadata) }
}
