/**
 * POST requests over kept-alive connections, by node:http(s). Handles bytes, headers and TLS, not OTLP.
 * Does not follow redirects (not part of OTLP) and uses no proxy.
 */
import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import https from 'node:https'
import { createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { constants, gunzipSync } from 'node:zlib'
import type { TlsConfig } from '../../../config/agent/exporters/tls.ts'
import { endFlood } from '../../../config/base/answers.ts'
import { http } from '../../../config/base/http.ts'
import { ExportError, errnoOf, textOf } from '../../contract/errors.ts'
import { secretOf } from '../../runtime/named-file.ts'
import { readTlsFiles } from '../../runtime/tls-files.ts'
import type { TlsContents } from '../../runtime/tls-files.ts'
import { connection, readable } from './connection.ts'

export interface TransportOptions {
  /** The full URL. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Paths of files with header values, by header name; read when opened. */
  readonly headerFiles: Readonly<Record<string, string>>
  readonly tls: TlsConfig
  /** Maximum number of connections. */
  readonly maxConnections: number
}

/** Contents of files, for one connection or more. */
export interface Credentials {
  readonly agent: Agent
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The texts of all files. */
  readonly text: string
}

export interface Reply {
  readonly status: number
  readonly retryAfter: string | undefined
  /** Decompressed; at most MAX_REPLY_BYTES, the rest is not read. */
  readonly body: Uint8Array
}

/** Responses are short; an endless one must not fill the memory. */
export const MAX_REPLY_BYTES: number = 64 << 10
/** Without this header the answer may have any encoding (RFC 9110, 12.5.3). */
const UNCOMPRESSED = { 'accept-encoding': 'identity' }
/** Closes idle connections before load balancers do (usually 60 s), so that few requests use a closed one. */
const IDLE_MS = 50_000

export class HttpTransport {
  readonly #options: TransportOptions
  readonly #url: URL
  readonly #underWay = new Set<ClientRequest>()
  #credentials: Credentials | undefined

  constructor(options: TransportOptions) {
    this.#options = options
    this.#url = new URL(options.url)
  }

  /**
   * Reads the files for TLS and headers. A second call uses new ones; running requests keep their connection. Rejects with
   * ExportError if a file is unreadable or unusable; all old ones then stay in use.
   */
  async open(): Promise<void> {
    this.#use(await this.#read())
  }

  /** Contents for the next request; a new object whenever a file has changed. */
  get credentials(): Credentials | undefined {
    return this.#credentials
  }

  /**
   * Reads the files again and returns whether one differs from `used`, even if another request has already loaded it. Rejects
   * as `open`.
   */
  async renew(used: Credentials | undefined): Promise<boolean> {
    const found = await this.#read()
    if (found.text !== this.#credentials?.text) this.#use(found)
    return this.#credentials !== used
  }

  #use(found: Credentials): void {
    const old = this.#credentials?.agent
    this.#credentials = found
    // Only idle connections: `destroy` would abort running requests.
    for (const sockets of Object.values(old?.freeSockets ?? {})) for (const socket of sockets ?? []) socket.destroy()
  }

  async #read(): Promise<Credentials> {
    const isPlain = this.#url.protocol === 'http:'
    const [pem, headers] = await Promise.all([isPlain ? {} : readTlsFiles(this.#options.tls), this.#readHeaders()])
    return { agent: this.#makeAgent(pem), headers, text: JSON.stringify([pem, headers]) }
  }

  async #readHeaders(): Promise<Credentials['headers']> {
    const read = Object.entries(this.#options.headerFiles).map(async ([name, path]): Promise<[string, string]> => {
      const value = await secretOf(`header_files.${name}`, path, 'latin1')
      checkHeader(name, value)
      return [name.toLowerCase(), value]
    })
    return Object.fromEntries(await Promise.all(read))
  }

  #makeAgent(pem: TlsContents): Agent {
    const shared = { keepAlive: true, maxSockets: this.#options.maxConnections, timeout: IDLE_MS }
    if (this.#url.protocol === 'http:') return new http.Agent(shared)
    const { tls } = this.#options
    return new https.Agent({
      ...shared,
      secureContext: secureContextOf(pem),
      ...(tls.server_name === undefined ? {} : { servername: tls.server_name }),
      rejectUnauthorized: !tls.insecure_skip_verify,
    })
  }

  /**
   * Posts the chunks as one body and reads the response. Rejects with ExportError: ABORTED by `signal`, TIMEOUT after
   * `timeoutMs`, IO otherwise; the sink may then have stored the body. `onResend` is called when the body is sent again although
   * the sink may have stored it.
   */
  async post(
    chunks: readonly Uint8Array[],
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    signal: AbortSignal,
    onResend: () => void,
  ): Promise<Reply> {
    if (signal.aborted) throw this.#error('ABORTED', 'was stopped')
    const credentials = this.#credentials
    if (credentials === undefined) throw new ExportError('CLOSED', 'the exporter is not started')
    const first = await this.#attempt(credentials, chunks, headers, timeoutMs, signal)
    if (first !== 'stale') return first
    // Usually the sink closed an idle connection just as we used it, so try once more at once. But it may also have stored the
    // body before it reset the connection; the system does not report how much was received.
    onResend()
    const second = await this.#attempt(credentials, chunks, headers, timeoutMs, signal)
    if (second === 'stale') throw this.#error('IO', NO_ANSWER)
    return second
  }

  #attempt(
    { agent, headers: fromFiles }: Credentials,
    chunks: readonly Uint8Array[],
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Reply | 'stale'> {
    return new Promise((resolve, reject) => {
      const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      const { request } = this.#url.protocol === 'https:' ? https : http
      const sent = request(this.#url, {
        method: 'POST',
        agent,
        headers: { ...UNCOMPRESSED, ...this.#options.headers, ...fromFiles, ...headers, 'content-length': length },
      })
      endFlood(sent)
      const timer = setTimeout(
        () => sent.destroy(this.#error('TIMEOUT', `did not answer within ${timeoutMs} ms`)),
        timeoutMs,
      )
      const onAbort = (): void => void sent.destroy(this.#error('ABORTED', 'was stopped'))
      signal.addEventListener('abort', onAbort, { once: true })
      this.#underWay.add(sent)
      const finish = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        this.#underWay.delete(sent)
      }
      let answered = false
      sent.on('error', (error) => {
        finish()
        if (error instanceof ExportError) reject(error)
        else if (sent.reusedSocket && STALE.has(errnoOf(error))) resolve('stale')
        else reject(this.#error('IO', readable(error).message, error))
      })
      sent.on('close', () => {
        // Node drops the connection after a 101 and only emits this. A response being read reports its own end.
        if (answered) return
        finish()
        reject(this.#error('IO', NO_ANSWER))
      })
      sent.on('response', (response) => {
        answered = true
        readAtMost(response, MAX_REPLY_BYTES).then(
          (body) => {
            finish()
            const { statusCode: status = 0, headers: got } = response
            resolve({ status, retryAfter: got['retry-after'], body: plainOf(body, got['content-encoding']) })
          },
          (error: unknown) => {
            finish()
            reject(error instanceof ExportError ? error : this.#error('IO', textOf(error), error))
          },
        )
      })
      // Headers and body in few system calls.
      sent.cork()
      for (const chunk of chunks) sent.write(chunk)
      sent.end()
    })
  }

  /** Connects as `post` does, with TLS handshake, and sends no byte of a request. Rejects with ExportError IO. */
  async probe(signal: AbortSignal): Promise<string> {
    try {
      return `${this.where}: ${await connection(this.#url, this.#credentials?.agent, signal)}`
    } catch (cause) {
      throw new ExportError('IO', `cannot connect to ${this.where}: ${textOf(cause)}`, cause)
    }
  }

  #error(code: 'ABORTED' | 'TIMEOUT' | 'IO', what: string, cause?: unknown): ExportError {
    return new ExportError(code, `POST ${this.where}: ${what}`, cause)
  }

  /** The endpoint without user, password and query, for logs. */
  get where(): string {
    return this.#url.origin + this.#url.pathname
  }

  /** Closes all connections; running requests fail, also those from before a reopen. */
  close(): void {
    for (const sent of this.#underWay) sent.destroy(this.#error('ABORTED', 'was stopped'))
    this.#credentials?.agent.destroy()
    this.#credentials = undefined
  }
}

function checkHeader(name: string, value: string): void {
  try {
    http.validateHeaderName(name)
    http.validateHeaderValue(name, value)
  } catch (error) {
    // The value may be a secret.
    throw new ExportError('UNUSABLE', `headers.${name}: expected characters that HTTP allows in a header`, error)
  }
}

/** Failures to connect. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/** Whether a rejected `post` surely sent nothing of the body. */
export function wasNeverSent(error: ExportError): boolean {
  return NOT_SENT.has(errnoOf(error.cause))
}

const STALE = new Set(['ECONNRESET', 'EPIPE'])
const NO_ANSWER = 'closed the connection without an answer'

async function readAtMost(response: IncomingMessage, limit: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    // Leaving the loop destroys the connection, the only way not to read the rest.
    if (length >= limit) break
  }
  return Buffer.concat(chunks).subarray(0, limit)
}

/** Proxies may compress regardless. A body that is no gzip stays as it is. */
function plainOf(body: Uint8Array, encoding: string | undefined): Uint8Array {
  if (encoding !== 'gzip') return body
  try {
    // A sync flush also returns the bytes of a truncated body.
    return gunzipSync(body, { maxOutputLength: MAX_REPLY_BYTES, finishFlush: constants.Z_SYNC_FLUSH })
  } catch {
    return body
  }
}

function secureContextOf(files: TlsContents): SecureContext {
  try {
    return createSecureContext(files)
  } catch (error) {
    throw new ExportError('UNUSABLE', `tls: expected a certificate and a key that TLS takes: ${textOf(error)}`, error)
  }
}
