/**
 * One POST over a kept-alive connection, by node:http(s). Knows bytes, headers and TLS; no OTLP.
 * Redirects are not followed (they are no part of OTLP) and no proxy is used.
 */
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { ExportError, errnoOf, textOf } from '../errors.ts'

export interface TlsFiles {
  /** PEM files, read at start and again at a reopen. */
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** Name to expect in the certificate when it is not that of the endpoint. */
  readonly serverName?: string | undefined
  readonly insecureSkipVerify?: boolean
}

export interface TransportOptions {
  /** With path, as posted to. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Headers whose value is the content of a file, read when opened: name to path. */
  readonly headerFiles?: Readonly<Record<string, string>>
  readonly tls?: TlsFiles
  /** Connections at a time. */
  readonly maxConnections: number
}

export interface Reply {
  readonly status: number
  readonly retryAfter: string | undefined
  /** At most MAX_REPLY_BYTES; the rest is not read. */
  readonly body: Uint8Array
}

/** A reply says little; one that does not end must not fill our memory. */
export const MAX_REPLY_BYTES: number = 64 << 10
/** Idle connections go before the usual 60 s of load balancers, so that few requests meet a closed one. */
const IDLE_MS = 50_000

export class HttpTransport {
  readonly #options: TransportOptions
  readonly #url: URL
  #agent: http.Agent | undefined
  #fromFiles: Readonly<Record<string, string>> = {}

  /** Throws ExportError when the URL is none of http or https. */
  constructor(options: TransportOptions) {
    this.#options = options
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined
    if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
      throw new ExportError('UNUSABLE', `endpoint: expected an http or https URL, got "${options.url}"`)
    }
    this.#url = url
    for (const [name, value] of Object.entries(options.headers)) checkHeader(name, value)
  }

  /**
   * Reads the files of TLS and headers. Called again it takes new ones into use; requests under way keep their connection.
   * Rejects with ExportError when one cannot be read; the old ones stay in use then.
   */
  async open(): Promise<void> {
    const [agent] = await Promise.all([this.#makeAgent(), this.readHeaders()])
    const old = this.#agent
    this.#agent = agent
    // Only the idle ones: `destroy` would cut what is in flight.
    for (const sockets of Object.values(old?.freeSockets ?? {})) for (const socket of sockets ?? []) socket.destroy()
  }

  /** Reads the files of headers alone; tells whether one has changed. Rejects with ExportError when one cannot be read. */
  async readHeaders(): Promise<boolean> {
    const read = Object.entries(this.#options.headerFiles ?? {}).map(
      async ([name, path]): Promise<[string, string]> => {
        const value = (await contentOf(`header_files.${name}`, path)).toString('latin1').replace(/\r?\n$/, '')
        checkHeader(name, value)
        return [name.toLowerCase(), value]
      },
    )
    const values = await Promise.all(read)
    const changed = values.some(([name, value]) => this.#fromFiles[name] !== value)
    this.#fromFiles = Object.fromEntries(values)
    return changed
  }

  async #makeAgent(): Promise<http.Agent> {
    const shared = { keepAlive: true, maxSockets: this.#options.maxConnections, timeout: IDLE_MS }
    if (this.#url.protocol === 'http:') return new http.Agent(shared)
    const { caFile, certFile, keyFile, serverName, insecureSkipVerify } = this.#options.tls ?? {}
    const [ca, cert, key] = await Promise.all([pem('ca', caFile), pem('certificate', certFile), pem('key', keyFile)])
    return new https.Agent({
      ...shared,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
      rejectUnauthorized: insecureSkipVerify !== true,
    })
  }

  /**
   * Posts the chunks as one body and reads the reply. Rejects with ExportError: ABORTED by `signal`, TIMEOUT after
   * `timeoutMs`, IO for all else. Whether the sink has stored the body is not known then.
   */
  async post(
    chunks: readonly Uint8Array[],
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Reply> {
    if (signal.aborted) throw this.#error('ABORTED', 'was stopped')
    const agent = this.#agent
    if (agent === undefined) throw new ExportError('CLOSED', 'the exporter is not started')
    const first = await this.#attempt(agent, chunks, headers, timeoutMs, signal)
    // The sink closed a kept-alive connection just as we used it: known to have no reply, so tried once more at once.
    return first === 'stale' ? this.#fresh(agent, chunks, headers, timeoutMs, signal) : first
  }

  async #fresh(
    agent: http.Agent,
    chunks: readonly Uint8Array[],
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Reply> {
    const second = await this.#attempt(agent, chunks, headers, timeoutMs, signal)
    if (second === 'stale') throw this.#error('IO', 'closed the connection without an answer')
    return second
  }

  #attempt(
    agent: http.Agent,
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
        headers: { ...this.#options.headers, ...this.#fromFiles, ...headers, 'content-length': length },
      })
      const timer = setTimeout(
        () => sent.destroy(this.#error('TIMEOUT', `did not answer within ${timeoutMs} ms`)),
        timeoutMs,
      )
      const onAbort = (): void => void sent.destroy(this.#error('ABORTED', 'was stopped'))
      signal.addEventListener('abort', onAbort, { once: true })
      const finish = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
      sent.on('error', (error) => {
        finish()
        if (error instanceof ExportError) reject(error)
        else if (sent.reusedSocket && STALE.has(errnoOf(error))) resolve('stale')
        else reject(this.#error('IO', textOf(error), error))
      })
      sent.on('response', (response) => {
        readAtMost(response, MAX_REPLY_BYTES).then(
          (body) => {
            finish()
            resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], body })
          },
          (error: unknown) => {
            finish()
            reject(error instanceof ExportError ? error : this.#error('IO', textOf(error), error))
          },
        )
      })
      // Headers and body in as few system calls as it takes.
      sent.cork()
      for (const chunk of chunks) sent.write(chunk)
      sent.end()
    })
  }

  #error(code: 'ABORTED' | 'TIMEOUT' | 'IO', what: string, cause?: unknown): ExportError {
    return new ExportError(code, `POST ${this.where}: ${what}`, cause)
  }

  /** The endpoint without user, password and query: fit for a log. */
  get where(): string {
    return this.#url.origin + this.#url.pathname
  }

  /** Closes every connection; requests under way fail. */
  close(): void {
    this.#agent?.destroy()
    this.#agent = undefined
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

/** Whether nothing of the body of a `post` that rejected can have reached the sink. */
export function wasNeverSent(error: ExportError): boolean {
  return NOT_SENT.has(errnoOf(error.cause))
}

const STALE = new Set(['ECONNRESET', 'EPIPE'])

async function readAtMost(response: http.IncomingMessage, limit: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    // Leaving the loop destroys the connection, which is the only way not to read the rest.
    if (length >= limit) break
  }
  return Buffer.concat(chunks).subarray(0, limit)
}

async function pem(what: string, path: string | undefined): Promise<Buffer | undefined> {
  return path === undefined ? undefined : contentOf(`tls ${what} file`, path)
}

async function contentOf(what: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new ExportError('UNUSABLE', `${what} "${path}": cannot be read: ${textOf(error)}`, error)
  }
}
