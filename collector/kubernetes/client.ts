/**
 * Requests to the Kubernetes API server: list pages, watches, and writes.
 *
 * Not `@kubernetes/client-node`: docs/explanation/decisions.md. An answer is bounded in bytes, and each request in time: 30 s to the end, a watch as long as
 * something comes every three minutes.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Agent } from 'node:https'
import * as z from 'zod'
import { AnswerTooLarge, MAX_ANSWER_BYTES, answerTo, bodyOf } from '../../config/base/answers.ts'
import { version } from '../../config/base/own.ts'
import type { KubernetesConfig } from '../../config/agent/schema.ts'
import { CollectorError } from '../errors.ts'
import { loginOf } from './login.ts'
import type { Credentials, Login, LoginOptions } from './login.ts'
import { STATUS, answerError, connectionError } from './refusal.ts'
import type { ApiRequest, Resource } from './refusal.ts'

/** Loaded at its first use, because TLS would be 17 % of the code that every start loads. */
const https = (): typeof import('node:https') => process.getBuiltinModule('node:https')

export interface Clients {
  readonly login: Login
  /** Other than the default in tests, in milliseconds. */
  readonly answerMs?: number
  readonly quietMs?: number
}

/** The metadata that every object has; the rest of the object is unknown. */
export const OBJECT = z.looseObject({
  metadata: z.looseObject({
    name: z.string().default(''),
    namespace: z.string().default(''),
    uid: z.string().default(''),
    resourceVersion: z.string().default(''),
  }),
})
export type KubernetesObject = z.output<typeof OBJECT>

const LIST = z.object({
  metadata: z.object({ resourceVersion: z.string().default(''), continue: z.string().default('') }),
  // Stops at the first wrong item: a schema of an array would list each of millions.
  items: z
    .array(z.unknown())
    .nullish()
    .transform((items) => items?.map((each) => OBJECT.parse(each))),
})
export type Page = z.output<typeof LIST>

const CHANGE = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']), object: OBJECT }),
  z.object({ type: z.literal('ERROR'), object: STATUS }),
])
export type WatchChange = z.output<typeof CHANGE>

/** State of an informer. */
export interface WatchState {
  readonly listed: boolean
  /** The reason why nothing comes now. */
  readonly problem: string | undefined
}

export interface Reading {
  readonly resource: Resource
  /** Undefined: all. */
  readonly namespace: string | undefined
  readonly query: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

export interface Watching extends Reading {
  /** Called when the API server has begun to answer. */
  readonly opened: () => void
}

const ANSWER_MS = 30_000
/** The API server sends a bookmark about every minute, except for resources without a change since its start. */
const QUIET_MS = 180_000
const MAX_REFUSAL_BYTES = 64 << 10

export class KubernetesClient implements Disposable {
  readonly login: Login
  /** Watches, by the name of the resource. */
  readonly watches: Map<string, WatchState> = new Map()
  readonly #answerMs: number
  readonly #quietMs: number
  readonly #agent = `ktrail/${version()}`
  /** Connections, as long as the credentials that they were made with are the same. */
  #connections: { readonly digest: string; readonly agent: Agent } | undefined

  constructor({ login, answerMs = ANSWER_MS, quietMs = QUIET_MS }: Clients) {
    this.login = login
    this.#answerMs = answerMs
    this.#quietMs = quietMs
  }

  /** One page of objects. Throws CollectorError KUBERNETES_*, as the other methods do. */
  async list({ resource, namespace, query, signal }: Reading): Promise<Page> {
    const asked: ApiRequest = { verb: 'list', resource, namespace }
    return this.#parsed(LIST, await this.#whole(asked, { query, signal }), asked)
  }

  /** Creates an object in `namespace`. */
  async create(resource: Resource, namespace: string, object: unknown, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(object)
    await this.#whole({ verb: 'create', resource, namespace }, { method: 'POST', body, signal })
  }

  /** Merges `patch` into an object (RFC 7386). */
  async patch(
    resource: Resource,
    { namespace, name }: { readonly namespace: string; readonly name: string },
    patch: unknown,
    signal: AbortSignal,
  ): Promise<void> {
    const body = JSON.stringify(patch)
    const type = 'application/merge-patch+json'
    await this.#whole({ verb: 'patch', resource, namespace }, { method: 'PATCH', name, body, type, signal })
  }

  /**
   * Changes as they come. Ends when the server ends it, which it does every few minutes, and when nothing comes any more; throws when it breaks.
   */
  async *watch({ resource, namespace, query, signal, opened }: Watching): AsyncGenerator<WatchChange, void, undefined> {
    const asked: ApiRequest = { verb: 'watch', resource, namespace }
    const quiet = new AbortController()
    const timer = setTimeout(() => quiet.abort(), this.#quietMs)
    let isOpen = false
    try {
      const answer = await this.#answer(asked, {
        query: { ...query, watch: 'true', allowWatchBookmarks: 'true' },
        signal: AbortSignal.any([signal, quiet.signal]),
      })
      opened()
      isOpen = true
      for await (const line of linesOf(answer, () => timer.refresh())) {
        yield this.#parsed(CHANGE, line, asked)
      }
    } catch (error) {
      // The connection may be dead: the next watch shows it.
      if (isOpen && quiet.signal.aborted) return
      throw this.#failure(error, asked, quiet.signal, 'no answer')
    } finally {
      clearTimeout(timer)
    }
  }

  /** The body of an answer. */
  async #whole(asked: ApiRequest, options: RequestOptions): Promise<string> {
    const late = AbortSignal.timeout(this.#answerMs)
    try {
      const answer = await this.#answer(asked, { ...options, signal: AbortSignal.any([options.signal, late]) })
      return String(await bodyOf(answer))
    } catch (error) {
      throw this.#failure(error, asked, late, `no answer within ${this.#answerMs / 1000} s`)
    }
  }

  /** The beginning of an answer that is a success. */
  async #answer(asked: ApiRequest, options: RequestOptions): Promise<IncomingMessage> {
    const { resource, namespace } = asked
    const { method = 'GET', name = '', query = {}, body, type = 'application/json', signal } = options
    const credentials = await this.login.read()
    const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`
    const inside = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    const url = new URL(
      `${this.login.server}${root}${inside}/${resource.name}${name && `/${encodeURIComponent(name)}`}`,
    )
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, value)
    const headers = {
      accept: 'application/json',
      'user-agent': this.#agent,
      ...(credentials.token === undefined ? {} : { authorization: `Bearer ${credentials.token}` }),
      ...(body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
    }
    const sent = https().request(url, { method, headers, agent: this.#connectionsFor(credentials), signal })
    sent.end(body)
    const answer = await answerTo(sent)
    const { statusCode = 0 } = answer
    if (statusCode >= 200 && statusCode < 300) return answer
    throw answerError(statusCode, String(await bodyOf(answer, MAX_REFUSAL_BYTES)), asked, this.login)
  }

  #connectionsFor({ ca, cert, key }: Credentials): Agent {
    const digest = hash('sha256', JSON.stringify([ca, cert, key]))
    if (this.#connections?.digest === digest) return this.#connections.agent
    // Running watches keep the old connections until the server ends them.
    const { verify, serverName } = this.login
    const agent = new (https().Agent)({
      keepAlive: true,
      // Finds a vanished peer, below HTTP.
      keepAliveMsecs: 30_000,
      rejectUnauthorized: verify,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    })
    this.#connections = { digest, agent }
    return agent
  }

  #parsed<T>(schema: z.ZodType<T>, text: string, asked: ApiRequest): T {
    try {
      return schema.parse(JSON.parse(text))
    } catch (error) {
      throw connectionError(
        new Error(`it did not send a Kubernetes object (${String(error).replaceAll(/\s+/g, ' ').slice(0, 200)})`),
        asked,
        this.login,
      )
    }
  }

  /** `why`: the reason if the deadline is over. */
  #failure(error: unknown, asked: ApiRequest, deadline: AbortSignal, why: string): unknown {
    if (error instanceof CollectorError) return error
    return connectionError(deadline.aborted ? new Error(why) : error, asked, this.login)
  }

  [Symbol.dispose](): void {
    this.#connections?.agent.destroy()
  }
}

/** A client as configured. Throws CollectorError KUBERNETES_LOGIN; whether the API server answers, requests show. */
export async function connect(
  { kubeconfig }: Pick<KubernetesConfig, 'kubeconfig'>,
  env: LoginOptions['env'],
): Promise<KubernetesClient> {
  return new KubernetesClient({ login: await loginOf({ kubeconfig, env }) })
}

interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'PATCH'
  readonly name?: string
  readonly query?: Reading['query']
  readonly body?: string
  readonly type?: string
  readonly signal: AbortSignal
}

/** Complete lines; bytes after the last one come from a broken connection. `came`: called for each piece. */
async function* linesOf(answer: IncomingMessage, came: () => void): AsyncGenerator<string, void, undefined> {
  let rest: Buffer[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    came()
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString('utf8')
      rest = []
      bytes = 0
      from = end + 1
      if (line !== '') yield line
    }
    bytes += chunk.length - from
    if (bytes > MAX_ANSWER_BYTES) throw new AnswerTooLarge(MAX_ANSWER_BYTES)
    if (from < chunk.length) rest.push(chunk.subarray(from))
  }
}
