/**
 * Docker's HTTP API over its Unix socket; podman has the same. The agent requests the list of containers, not one container, because the
 * list has no environment variables, in which passwords are.
 */
import { answerTo, bodyOf } from '../../config/base/answers.ts'
import { http } from '../../config/base/http.ts'
import type { NamedContainer } from '../../exporters/contract/event.ts'
import { MAX_CONTAINER_BYTES } from './runtime.ts'
import type { RuntimeApi } from './runtime.ts'

const MAX_HEADER_BYTES = 16 << 10

/** undefined: the server is not Docker or podman. Rejects if no server listens, or none answers in time. */
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
  const list: unknown = JSON.parse(body)
  if (!Array.isArray(list)) throw new Error('expected a list of containers, got other JSON')
  // No schema: it would list each of half a million wrong entries.
  const found = list.find((each) => textOf(each?.Id).startsWith(shortId))
  if (found === undefined) return undefined
  const { Id, Names, Image, ImageID, Labels } = found as Record<string, unknown>
  const names = (Array.isArray(Names) ? Names : []).map((name) => textOf(name).replace(/^\//, ''))
  return {
    id: textOf(Id),
    name: names.find((name) => name !== '' && !name.includes('/')) ?? names[0] ?? '',
    image: textOf(Image),
    // podman's value for a container with a folder as its image.
    imageId: ImageID === 'sha256:' ? '' : textOf(ImageID),
    labels: Object.fromEntries(
      Object.entries(typeof Labels === 'object' && Labels !== null ? Labels : {}).filter(
        ([, value]) => typeof value === 'string',
      ),
    ),
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

async function get(socketPath: string, path: string, signal: AbortSignal) {
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
