/** Runtimes that answer on a Unix socket as a test configures them: Docker's API over HTTP, the CRI API over gRPC. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createSocket } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { RuntimeService } from '../../../../../collector/proto/cri/runtime_pb.js'
import { ApiError } from '../../../../../collector/api/errors.ts'
import { Methods } from '../../../../../collector/api/rpc.ts'

export const ID = '0123456789abcdef'.repeat(4)
export const SHORT = ID.slice(0, 31)

/** A path for a socket, removed with the test. */
export function socketPath(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-runtime-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 's')
}

/** A container as Docker lists it. */
export function listed(change: object = {}): object {
  return {
    Id: ID,
    Names: ['/other/alias', '/web'],
    Image: 'nginx:1.27',
    ImageID: `sha256:${'a'.repeat(64)}`,
    Command: 'nginx',
    Labels: { app: 'shop', secret: 'x' },
    State: 'running',
    ...change,
  }
}

export interface Fake {
  readonly path: string
  /** Paths of the requests that came, or ids of the requested containers. */
  readonly asked: string[]
}

/** `list`: the answer to the request for containers. */
export async function fakeDocker(
  t: Pick<TestContext, 'after'>,
  list: RequestListener,
  headers: Record<string, string> = { 'api-version': '1.41' },
): Promise<Fake> {
  const asked: string[] = []
  const path = socketPath(t)
  const server = createServer((request, response) => {
    asked.push(decodeURIComponent(request.url ?? ''))
    if (request.url === '/_ping') response.writeHead(200, headers).end('OK')
    else list(request, response)
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { path, asked }
}

export function json(value: unknown): RequestListener {
  return (_, response) =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

/** A server that only does this with each connection. */
export async function fakeSocket(t: Pick<TestContext, 'after'>, does: (socket: Socket) => void): Promise<string> {
  const path = socketPath(t)
  const open = new Set<Socket>()
  const server = createSocket((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    does(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return path
}

/** `labels`: of its only container. */
export async function fakeCri(
  t: Pick<TestContext, 'after'>,
  labels: Record<string, string>,
  id: string = ID,
): Promise<Fake> {
  const asked: string[] = []
  const path = socketPath(t)
  const server = new Server({ 'grpc.max_send_message_length': -1 })
  const methods = new Methods(server, { error: () => {} })
  methods.unary(RuntimeService.method.version, () => ({ runtimeName: 'containerd' }))
  methods.unary(RuntimeService.method.containerStatus, ({ containerId }) => {
    asked.push(containerId)
    if (!ID.startsWith(containerId)) throw new ApiError('NOT_FOUND', 'an error occurred when try to find container')
    const image = { image: 'registry:5000/shop/web:2' }
    return { status: { id, metadata: { name: 'web' }, image, imageRef: 'registry:5000/shop/web@sha256:1', labels } }
  })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  t.after(() => server.forceShutdown())
  return { path, asked }
}
