/**
 * Docker's HTTP API over its Unix socket; podman has the same. The list of containers is asked for, not one container: it has no environment
 * variables, in which passwords are.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { z } from 'zod'
import { answerTo, bodyOf } from '../../config/answers.ts'
import { http } from '../../config/http.ts'
import type { NamedContainer } from '../../exporters/contract/event.ts'
import { MAX_CONTAINER_BYTES } from './runtime.ts'
import type { RuntimeApi } from './runtime.ts'

const LIST = z.array(
  z.object({
    Id: z.string(),
    // `/web`; with links also `/other/alias`.
    Names: z.array(z.string()).nullish(),
    Image: z.string().default(''),
    ImageID: z.string().default(''),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
)
const MAX_HEADER_BYTES = 16 << 10

/** undefined: what listens there is not Docker or podman. Rejects when nothing listens, or nothing is answered in time. */
export async function docker(socketPath: string, signal: AbortSignal): Promise<RuntimeApi | undefined> {
  const ping = await get(socketPath, '/_ping', signal).catch((error: unknown) => {
    if (isNoHttp(error)) return undefined
    throw error
  })
  if (ping?.status !== 200 || ping.headers['api-version'] === undefined) return undefined
  return {
    name: ping.headers['libpod-api-version'] === undefined ? 'docker' : 'podman',
    container: (shortId, within) => container(socketPath, shortId, within),
    [Symbol.dispose]: () => {},
  }
}

async function container(
  socketPath: string,
  shortId: string,
  signal: AbortSignal,
): Promise<NamedContainer | undefined> {
  const filters = encodeURIComponent(JSON.stringify({ id: [shortId] }))
  const { status, body } = await get(socketPath, `/containers/json?all=true&filters=${filters}`, signal)
  if (status !== 200) throw new Error(`expected status 200 for a list of containers, got ${status}`)
  const { data: list, success } = LIST.safeParse(JSON.parse(body))
  if (!success) throw new Error('expected a list of containers, got other JSON')
  const found = list.find(({ Id }) => Id.startsWith(shortId))
  if (found === undefined) return undefined
  const names = (found.Names ?? []).map((name) => name.replace(/^\//, ''))
  return {
    id: found.Id,
    name: names.find((name) => !name.includes('/')) ?? names[0] ?? '',
    image: found.Image,
    // podman's of a container that has a folder in place of an image.
    imageId: found.ImageID === 'sha256:' ? '' : found.ImageID,
    labels: found.Labels ?? {},
  }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

async function get(socketPath: string, path: string, signal: AbortSignal): Promise<Answer> {
  const headers = { host: 'localhost', connection: 'close' }
  const asked = http.request({ socketPath, path, headers, agent: false, maxHeaderSize: MAX_HEADER_BYTES, signal })
  asked.end()
  const answer = await answerTo(asked)
  const body = await bodyOf(answer, MAX_CONTAINER_BYTES)
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: body.toString() }
}

/** A server of gRPC answers in HTTP/2 or hangs up. */
function isNoHttp(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return code.startsWith('HPE_') || code === 'ECONNRESET'
}
