/** Grafana Loki in a container, and LogQL queries to it. No package registry has it: the official image only. */
import { z } from 'zod'
import type { Engine } from './engine.ts'
import { imageOf } from './images.ts'
import type { Image } from './images.ts'
import { insideAddress, Launched } from './launched.ts'
import { freePorts } from './ports.ts'

/** The answer of /loki/api/v1/query_range; an entry is its time and its line. */
const ENTRY = z.tuple([z.string(), z.string()], z.unknown())
const STREAM = z.object({ values: z.array(ENTRY) })
const ANSWER = z.object({ data: z.object({ resultType: z.literal('streams'), result: z.array(STREAM) }) })
/** The answer of /loki/api/v1/query to a metric query. */
const SAMPLE = z.object({ value: z.tuple([z.number(), z.string()]) })
const COUNTS = z.object({ data: z.object({ resultType: z.literal('vector'), result: z.array(SAMPLE) }) })

export const lokiImage = (engine: Engine): Promise<Image> => imageOf(engine, 'grafana/loki:3.5.0')

/** Settles when it is ready. */
export async function startLoki(engine: Engine, image: string): Promise<Launched> {
  const [port = 0, grpcPort = 0] = await freePorts(2)
  const command = [
    '-config.file=/etc/loki/local-config.yaml',
    `-server.http-listen-address=${insideAddress(engine)}`,
    `-server.http-listen-port=${port}`,
    `-server.grpc-listen-port=${grpcPort}`,
  ]
  return Launched.start(engine, { image, port, command, ready: /Loki started/ })
}

/** Sum of the metric query's present result in the Loki at host:port. */
export async function countOf(address: string, query: string): Promise<number> {
  const text = await answer(address, 'query', new URLSearchParams({ query }))
  return COUNTS.parse(JSON.parse(text)).data.result.reduce((sum, { value: [, count] }) => sum + Number(count), 0)
}

/** Lines that the query finds in the last hour in the Loki at host:port, at most `limit`. */
export async function linesOf(address: string, query: string, limit: number): Promise<string[]> {
  const now = Date.now()
  const parameters = new URLSearchParams({ query, limit: String(limit), direction: 'forward' })
  parameters.set('start', `${now - 3_600_000}000000`)
  parameters.set('end', `${now + 60_000}000000`)
  const text = await answer(address, 'query_range', parameters)
  return ANSWER.parse(JSON.parse(text)).data.result.flatMap(({ values }) => values.map(([, line]) => line))
}

async function answer(address: string, path: string, parameters: URLSearchParams): Promise<string> {
  const response = await fetch(`http://${address}/loki/api/v1/${path}?${parameters}`)
  const text = await response.text()
  if (!response.ok) throw new Error(`Loki refuses the query ${parameters.get('query')}: ${response.status} ${text}`)
  return text
}
