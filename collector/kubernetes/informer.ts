/**
 * Keeps the needed parts of all objects of one kind: lists them, then watches for changes, for ever.
 *
 * The first list may come from the API server's cache, so that a cluster's nodes that start together do not load etcd. A watch begins where
 * the list, or the last watch, ended: bookmarks keep that place new. If the API server has forgotten it (410 Gone), all is listed again;
 * then missing objects were deleted. While the API server is away, known objects stay. Attempts are up to half a minute apart, at random,
 * so that nodes do not come back all at once.
 *
 * Objects are handed on as they come; only what `read` returns is kept.
 */
import { setTimeout as after } from 'node:timers/promises'
import { backOffMs } from '../../config/base/time/back-off.ts'
import { AnswerTooLarge } from '../../config/base/answers.ts'
import { CollectorError } from '../errors.ts'
import type { KubernetesClient, KubernetesObject, WatchState } from './client.ts'
import { answerError, nameOf } from './refusal.ts'
import type { Resource } from './refusal.ts'

export interface InformerOptions<T> {
  readonly client: Pick<KubernetesClient, 'list' | 'watch' | 'login'> & Partial<Pick<KubernetesClient, 'watches'>>
  readonly resource: Resource
  /** A cluster without this kind has no objects of it, which is no problem. */
  readonly optional?: boolean
  /** Default: all namespaces. */
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** The kept part of an object; undefined: it is as if it did not exist. */
  readonly read: (object: KubernetesObject) => T | undefined
  /** An object is new or was changed; the next change waits for it. Must not reject. */
  readonly onSet?: (value: T, before: T | undefined) => void | Promise<void>
  /** Must not reject. */
  readonly onDelete?: (value: T) => void | Promise<void>
  /** The objects of a list are handed on. Must not reject. */
  readonly onListed?: () => void | Promise<void>
  /** The reason why nothing comes now, in one sentence; undefined: it works again. Not called twice with the same. */
  readonly onProblem?: (problem: string | undefined) => void
  /** A number in [0, 1), for delays. */
  readonly random?: () => number
  /** The longest delay. */
  readonly maxDelayMs?: number
}

interface StoredObject<T> {
  readonly version: string
  readonly value: T
}

const PAGE = 500
const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 30_000
const MOST_BUSY = 5
/** Requests have the server end a watch after five to ten minutes, so that nodes do not come back all at once. */
const WATCH_S = 300

export class Informer<T> implements AsyncDisposable, WatchState {
  readonly #options: InformerOptions<T>
  readonly #known = new Map<string, StoredObject<T>>()
  readonly #stop = new AbortController()
  /** The reason why nothing comes now. */
  problem: string | undefined
  /** Whether all objects were listed once. */
  listed = false
  #failures = 0
  #page = PAGE
  #running: Promise<void> | undefined

  constructor(options: InformerOptions<T>) {
    this.#options = options
    options.client.watches?.set(nameOf(options.resource), this)
  }

  get size(): number {
    return this.#known.size
  }

  /** `namespace`: '' for objects without one. */
  get(namespace: string, name: string): T | undefined {
    return this.#known.get(`${namespace}/${name}`)?.value
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    let version = ''
    while (!signal.aborted) {
      const began = performance.now()
      try {
        if (version === '') version = await this.#list()
        for await (const change of this.#watch(version)) version = change
        // A server that ends each watch at once gets no request without a pause.
        if (performance.now() - began < 1_000) this.#failures++
        else this.#failures = 0
      } catch (error) {
        if (signal.aborted) return
        version = await this.#failed(error, version)
      }
      await this.#pause()
    }
  }

  /** Returns the version from which to continue. */
  async #failed(error: unknown, version: string): Promise<string> {
    this.#failures++
    const code = error instanceof CollectorError ? error.code : undefined
    // The server forgot the version: no problem, and the first list needs no pause.
    if (code === 'KUBERNETES_EXPIRED') {
      if (this.#failures === 1) this.#failures = 0
      return ''
    }
    // A page of a list, not a change.
    if (version === '' && error instanceof CollectorError && error.cause instanceof AnswerTooLarge)
      this.#page = Math.ceil(this.#page / 4)
    if (code === 'KUBERNETES_NOT_FOUND' && this.#options.optional === true) {
      await this.#complete(new Set())
      return ''
    }
    this.#report(error instanceof Error ? error.message : String(error))
    // A cluster that was restored from a backup does not have this version yet, and answers so for ever.
    return code === 'KUBERNETES_BUSY' && this.#failures >= MOST_BUSY ? '' : version
  }

  async #pause(): Promise<void> {
    if (this.#failures === 0) return
    const { random = Math.random, maxDelayMs = MAX_DELAY_MS } = this.#options
    const delay = backOffMs(FIRST_DELAY_MS, maxDelayMs, this.#failures)
    await after(delay * (0.5 + random() / 2), undefined, { signal: this.#stop.signal }).catch(() => undefined)
  }

  /** Returns the version of the list. */
  async #list(): Promise<string> {
    const { client, resource, namespace, labelSelector, fieldSelector, read } = this.#options
    const { signal } = this.#stop
    const present = new Set<string>()
    let more = ''
    let version = ''
    do {
      // Later lists must not be older than known objects, and a list from the cache is never in pages.
      const resourceVersion = this.listed || more !== '' || this.#page < PAGE ? undefined : '0'
      const limit = String(this.#page)
      const query = { labelSelector, fieldSelector, limit, continue: more || undefined, resourceVersion }
      const { metadata, items } = await client.list({ resource, namespace, query, signal })
      for (const object of items ?? []) {
        const value = read(object)
        if (value === undefined) continue
        present.add(keyOf(object))
        await this.#set(object, value)
        if (signal.aborted) return version
      }
      more = metadata.continue
      version = metadata.resourceVersion
    } while (more !== '')
    await this.#complete(present)
    return version
  }

  /** Removes all other objects. */
  async #complete(present: ReadonlySet<string>): Promise<void> {
    for (const key of this.#known.keys()) if (!present.has(key)) await this.#delete(key)
    this.listed = true
    this.#report(undefined)
    await this.#options.onListed?.()
  }

  /** The version after each change that was handed on. */
  async *#watch(from: string): AsyncGenerator<string, void, undefined> {
    const { client, resource, namespace, labelSelector, fieldSelector, read, random = Math.random } = this.#options
    const { signal } = this.#stop
    const timeoutSeconds = String(Math.round(WATCH_S * (1 + random())))
    const query = { labelSelector, fieldSelector, resourceVersion: from, timeoutSeconds }
    const opened = (): void => this.#report(undefined)
    for await (const { type, object } of client.watch({ resource, namespace, query, signal, opened })) {
      if (type === 'ERROR') {
        const { code = 500, message } = object
        throw answerError(code, JSON.stringify({ message }), { verb: 'watch', resource, namespace }, client.login)
      }
      this.#failures = 0
      if (type !== 'BOOKMARK') {
        const value = type === 'DELETED' ? undefined : read(object)
        if (value === undefined) await this.#delete(keyOf(object))
        else await this.#set(object, value)
      }
      if (signal.aborted) return
      yield object.metadata.resourceVersion
    }
  }

  async #set(object: KubernetesObject, value: T): Promise<void> {
    const key = keyOf(object)
    const before = this.#known.get(key)
    const version = object.metadata.resourceVersion
    if (before !== undefined && before.version === version && version !== '') return
    this.#known.set(key, { version, value })
    await this.#options.onSet?.(value, before?.value)
  }

  async #delete(key: string): Promise<void> {
    const known = this.#known.get(key)
    if (known === undefined) return
    this.#known.delete(key)
    await this.#options.onDelete?.(known.value)
  }

  #report(problem: string | undefined): void {
    if (this.problem === problem) return
    this.problem = problem
    this.#options.onProblem?.(problem)
  }

  /** Ends the watch; known objects stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace}/${metadata.name}`
}
