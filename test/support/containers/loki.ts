/** Grafana Loki in a container, and LogQL queries to it. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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

const RESULTS = z.object({ data: z.object({ result: z.array(z.unknown()) }) })

const BUILD = fileURLToPath(new URL('../../loki/build.sh', import.meta.url))
/** That of deploy/compose/, unless `make loki` chooses. */
export const LOKI_VERSION: string = process.env['KTRAIL_LOKI'] ?? '3.5.0'

/** The official image, or one of the program that `make loki` has built. */
export async function lokiImage(engine: Engine): Promise<Image> {
  const official = `grafana/loki:${LOKI_VERSION}`
  const built = await promisify(execFile)(BUILD, ['--cached', LOKI_VERSION]).catch(() => undefined)
  const program = built?.stdout.trim()
  if (program === undefined) return imageOf(engine, official)
  const config = path.join(path.dirname(program), `config-${LOKI_VERSION}.yaml`)
  return imageOf(engine, official, {
    name: 'ktrail-test/loki',
    entrypoint: ['/loki-program'],
    inputs: [LOKI_VERSION, process.arch],
    fill: async (folder) => {
      for (const name of ['etc/loki', 'tmp', 'loki']) await mkdir(path.join(folder, name), { recursive: true })
      await copyFile(program, path.join(folder, 'loki-program'))
      await copyFile(config, path.join(folder, 'etc/loki/local-config.yaml'))
    },
  })
}

/** Settles when it is ready. `files`: texts by their path inside. */
export async function startLoki(
  engine: Engine,
  image: string,
  files: Readonly<Record<string, string>> = {},
): Promise<Launched> {
  const [port = 0, grpcPort = 0] = await freePorts(2)
  const command = [
    '-config.file=/etc/loki/local-config.yaml',
    `-server.http-listen-address=${insideAddress(engine)}`,
    `-server.http-listen-port=${port}`,
    `-server.grpc-listen-port=${grpcPort}`,
    '-ruler.evaluation-interval=5s',
  ]
  return Launched.start(engine, { image, port, command, files, ready: /Loki started/ })
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

/** The answer to a query at host:port: series or streams. Over the last hour, if it is not instant. */
export async function resultsOf(address: string, query: string, isInstant: boolean, limit: number): Promise<unknown[]> {
  const parameters = new URLSearchParams({ query, limit: String(limit) })
  if (!isInstant) parameters.set('since', '1h')
  const text = await answer(address, isInstant ? 'query' : 'query_range', parameters)
  return RESULTS.parse(JSON.parse(text)).data.result
}

async function answer(address: string, name: string, parameters: URLSearchParams): Promise<string> {
  const response = await fetch(`http://${address}/loki/api/v1/${name}?${parameters}`)
  const text = await response.text()
  if (!response.ok) throw new Error(`Loki refuses the query ${parameters.get('query')}: ${response.status} ${text}`)
  return text
}
