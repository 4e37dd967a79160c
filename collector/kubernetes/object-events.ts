/**
 * Events on objects of the API server, which `kubectl describe` shows. A repeated event is counted in the first, also after a restart of
 * the agent. Bounded: a burst, then one every few seconds. Other events are dropped, because the agent's log has them too.
 */
import { hash } from 'node:crypto'
import { setTimeout as after } from 'node:timers/promises'
import { CollectorError } from '../errors.ts'
import type { KubernetesClient } from './client.ts'

/** An object that events are about. */
export interface About {
  readonly apiVersion: string
  readonly kind: string
  /** '' for an object of the cluster. */
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export interface ObjectEventsOptions {
  readonly client: Pick<KubernetesClient, 'create' | 'patch'>
  /** The node of this agent, for the events. */
  readonly nodeName: string
  /** The first failure, in one sentence; not called again with the same. */
  readonly onProblem: (problem: string) => void
  /** Other than the default in tests, in milliseconds. */
  readonly everyMs?: number
}

interface Waiting {
  readonly about: About
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  readonly at: string
}

const EVENTS = { group: '', version: 'v1', name: 'events' }
const BURST = 100
const EVERY_MS = 2_000
const MOST_WAITING = 1_000
/** Enough for a sentence each of a few mistakes; etcd of the cluster keeps it for an hour, once a node. */
const MAX_MESSAGE = 1_024

export class ObjectEvents implements AsyncDisposable {
  readonly #options: ObjectEventsOptions
  readonly #waiting: Waiting[] = []
  /** Number of times that an event was written, by its name. */
  readonly #counts = new Map<string, number>()
  readonly #stop = new AbortController()
  #tokens = BURST
  #filledMs = performance.now()
  #running: Promise<void> | undefined
  #problem: string | undefined
  /** Events that were dropped for lack of room. */
  dropped = 0

  constructor(options: ObjectEventsOptions) {
    this.#options = options
  }

  /** Returns at once. */
  record(about: About, type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (this.#stop.signal.aborted) return
    if (this.#waiting.length >= MOST_WAITING) {
      this.dropped++
      return
    }
    // kubectl describe does not show which host an event comes from.
    const text = `${this.#options.nodeName}: ${message}`
    const cut = text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 3).toWellFormed()}...` : text
    this.#waiting.push({ about, type, reason, message: cut, at: new Date().toISOString().replace(/\.\d+Z/, 'Z') })
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    for (let event = this.#waiting.shift(); event !== undefined && !signal.aborted; event = this.#waiting.shift()) {
      await this.#turn()
      if (signal.aborted) break
      try {
        await this.#write(event).catch((error: unknown) => {
          if (!isTransient(error)) throw error
          return this.#turn().then(() => this.#write(event))
        })
        this.#problem = undefined
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error)
        if (!signal.aborted && problem !== this.#problem) this.#options.onProblem(problem)
        this.#problem = problem
      }
    }
    this.#running = undefined
  }

  /** Waits until another event may be written. */
  async #turn(): Promise<void> {
    const { everyMs = EVERY_MS } = this.#options
    const now = performance.now()
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#filledMs) / everyMs)
    this.#filledMs = now
    if (this.#tokens < 1) {
      const wait = (1 - this.#tokens) * everyMs
      await after(wait, undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
    this.#tokens--
  }

  async #write({ about, type, reason, message, at }: Waiting): Promise<void> {
    const { client, nodeName } = this.#options
    const { signal } = this.#stop
    const { namespace, uid, ...rest } = about
    const same = hash('sha256', JSON.stringify([uid, type, reason, message]))
    const name = `${about.name.slice(0, 200)}.${same.slice(0, 16)}`
    // Events on objects of the cluster are in the namespace default: validation of core/v1.
    const inside = namespace || 'default'
    const count = (this.#counts.get(name) ?? 0) + 1
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: inside },
      involvedObject: { ...rest, uid, ...(namespace === '' ? {} : { namespace }) },
      type,
      reason,
      message,
      count,
      firstTimestamp: at,
      lastTimestamp: at,
      source: { component: 'ktrail', host: nodeName },
      reportingComponent: 'ktrail',
      reportingInstance: nodeName,
    }
    try {
      await client.create(EVENTS, inside, event, signal)
    } catch (error) {
      if (!(error instanceof CollectorError && error.code === 'KUBERNETES_EXISTS')) throw error
      const again = { count: Math.max(2, count), lastTimestamp: at }
      await client.patch(EVENTS, { namespace: inside, name }, again, signal)
    }
    // Dropped counts start again at 1. Events live for an hour.
    if (this.#counts.size >= MOST_WAITING) this.#counts.clear()
    this.#counts.set(name, count)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

/** Whether another try may succeed, for instance after the server has closed a kept connection. */
function isTransient(error: unknown): boolean {
  return error instanceof CollectorError && ['KUBERNETES_UNREACHABLE', 'KUBERNETES_BUSY'].includes(error.code)
}
