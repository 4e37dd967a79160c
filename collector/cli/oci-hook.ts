/**
 * `ktrail oci-hook`: a createRuntime hook of the OCI runtime specification. The runtime runs it when the container's first process is in its
 * cgroup and has not run a program yet, and waits for it. It announces the container to the agent.
 *
 * Constraints: it never keeps a container from starting, whatever is wrong: it ends with 0 within two seconds, and logs why in one line. Each start
 * of a container waits for it, so it loads nothing large: with `@grpc/grpc-js`, the descriptors of all messages and zod it takes twice the CPU time.
 */
import { appendFile, mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { DEFAULT_SERVER, parseAddress } from '../../config/base/addresses.ts'
import { oneLine } from '../../config/base/quoting.ts'
import { cgroupPath } from '../process/cgroup-names.ts'
import type { Command } from './command.ts'

const DEFAULT_LOG = '/var/log/ktrail/oci-hook.log'
const TIMEOUT_MS = 2_000
const MAX_STATE_BYTES = 1 << 20
const MAX_CONFIG_BYTES = 4 << 20
const MAX_LOG_BYTES = 1 << 20
/** The only annotations about the pod; others may be long. */
const ANNOTATIONS = 'io.kubernetes.'
const MAX_ANNOTATION = 4096
/** Numbers of fields: collector/proto/tetragon/sensors.proto. */
const CREATE_CONTAINER = 1
const CREATE = { cgroupsPath: 1, rootDir: 2, annotations: 3, containerID: 5 } as const

export const ociHookCommand: Command = async (given) => {
  await ociHook({
    input: process.stdin,
    server: given.text('server') ?? DEFAULT_SERVER,
    log: given.text('log') ?? DEFAULT_LOG,
  })
  return 0
}

export interface OciHookOptions {
  readonly input: AsyncIterable<Uint8Array>
  readonly server: string
  /** The log file of failures. */
  readonly log: string
  readonly timeoutMs?: number
  readonly procfs?: string
}

/** Never rejects. */
export async function ociHook({
  input,
  server,
  log,
  timeoutMs = TIMEOUT_MS,
  procfs = '/proc',
}: OciHookOptions): Promise<void> {
  const hook = { step: 'reading the state of the container', id: '' }
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`not finished within ${timeoutMs / 1000} s`)), timeoutMs)
  try {
    await Promise.race([announce(hook, input, { server, procfs }), late.promise])
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    const container = hook.id === '' ? 'a container' : `container ${hook.id}`
    await note(log, `${container} starts without an announcement to the agent: ${hook.step}: ${what}`)
  } finally {
    clearTimeout(timer)
  }
}

async function announce(
  hook: { step: string; id: string },
  input: AsyncIterable<Uint8Array>,
  { server, procfs }: { readonly server: string; readonly procfs: string },
): Promise<void> {
  const state = objectOf(JSON.parse(await textOf(input)))
  const [id, bundle, pid] = [state['id'], state['bundle'], state['pid']]
  if (typeof id !== 'string' || typeof bundle !== 'string' || !Number.isInteger(pid)) {
    throw new Error('expected id, pid and bundle')
  }
  hook.id = id
  hook.step = `reading ${join(bundle, 'config.json')}`
  const config = objectOf(JSON.parse(await textAt(join(bundle, 'config.json'))))
  hook.step = `reading ${procfs}/${String(pid)}/cgroup`
  const cgroup = cgroupPath(await readFile(join(procfs, String(pid), 'cgroup'), 'utf8'))
  hook.step = `asking ${server}`
  const create = new BinaryWriter()
  put(create, CREATE.cgroupsPath, cgroup === '' ? textOr(objectOf(config['linux'])['cgroupsPath']) : cgroup)
  put(create, CREATE.rootDir, resolve(bundle, textOr(objectOf(config['root'])['path'])))
  for (const [key, value] of Object.entries(objectOf(config['annotations']))) {
    if (!key.startsWith(ANNOTATIONS) || typeof value !== 'string' || value.length > MAX_ANNOTATION) continue
    create.tag(CREATE.annotations, WireType.LengthDelimited).fork()
    put(create, 1, key)
    put(create, 2, value)
    create.join()
  }
  put(create, CREATE.containerID, id)
  const request = new BinaryWriter().tag(CREATE_CONTAINER, WireType.LengthDelimited).bytes(create.finish())
  await call(server, request.finish())
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

const textOr = (value: unknown): string => (typeof value === 'string' ? value : '')

function put(out: BinaryWriter, field: number, text: string): void {
  out.tag(field, WireType.LengthDelimited).string(text)
}

/** One request in gRPC: HTTP/2, a message behind a flag and its length, the status in a header or trailer. */
function call(server: string, message: Uint8Array): Promise<void> {
  const address = parseAddress(server)
  if (typeof address === 'string' || !('path' in address)) throw new Error('expected unix:///path of a socket')
  return new Promise((done, fail) => {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(address.path) })
    session.on('error', fail)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/tetragon.FineGuidanceSensors/RuntimeHook',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    let [status, text] = ['', '']
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      status = String(headers['grpc-status'] ?? status)
      text = String(headers['grpc-message'] ?? text)
    }
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('error', fail)
    stream.on('close', () => {
      session.destroy()
      if (status === '0') done()
      else fail(new Error(`the agent refused it: status ${status || 'none'} ${text}`))
    })
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([head, message]))
    stream.resume()
  })
}

async function textOf(input: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of input) {
    bytes += chunk.length
    if (bytes > MAX_STATE_BYTES) throw new Error(`expected at most ${MAX_STATE_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

async function textAt(path: string): Promise<string> {
  await using file = await open(path)
  const { size } = await file.stat()
  if (size > MAX_CONFIG_BYTES) throw new Error(`expected at most ${MAX_CONFIG_BYTES} bytes, got ${size}`)
  return file.readFile('utf8')
}

/** Writes one line. At a megabyte the file starts again, and the previous one is kept. Never rejects. */
async function note(path: string, sentence: string): Promise<void> {
  try {
    // Not `recursive`, which never ends below /proc.
    await mkdir(dirname(path)).catch(() => {})
    const { size } = await stat(path).catch(() => ({ size: 0 }))
    if (size > MAX_LOG_BYTES) await rename(path, `${path}.1`)
    const line = oneLine(`${new Date().toISOString()} ktrail oci-hook: ${sentence}`).slice(0, 2000)
    await appendFile(path, `${line}\n`, { mode: 0o640 })
  } catch {
    // No other log is left.
  }
}
