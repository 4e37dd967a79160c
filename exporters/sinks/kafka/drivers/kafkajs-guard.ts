/**
 * kafkajs 2.2.4 keeps a timer running on every idle connection and arms it with a negative time, which Node turns into
 * 1 ms: about 900 wake-ups a second and a TimeoutNegativeWarning (tulios/kafkajs#1751, fixes #1755 and #1768 unmerged).
 * The guard arms it only when something is pending or a throttle runs. See docs/reference/kafka.md.
 */
import { createRequire } from 'node:module'
import { repairConnections } from './kafkajs-connections.ts'

/** The latest release, of 2023. These changes to its internals fit no other version. */
export const KNOWN_VERSION = '2.2.4'

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  readonly inflight: ReadonlyMap<number, unknown>
  scheduleCheckPendingRequests(): void
  fulfillRequest(answer: { readonly correlationId: number }): void
}

let applied = false

/** Applies this guard and the repairs of connections once per process. Returns false, without changes, for an unknown version. */
export function guardKafkajs(version: string = installedVersion()): boolean {
  if (version !== KNOWN_VERSION) return false
  if (applied) return true
  const queue = queuePrototype()
  const { scheduleCheckPendingRequests: schedule, fulfillRequest: fulfill } = queue
  queue.scheduleCheckPendingRequests = function guarded(this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
  }
  // It only logs others. A repaired connection ends when this throws, and gets no late answers.
  queue.fulfillRequest = function fulfillExpected(this: RequestQueue, answer): void {
    if (!this.inflight.has(answer.correlationId)) throw new Error('an answer to no request')
    fulfill.call(this, answer)
  }
  repairConnections()
  applied = true
  return true
}

function queuePrototype(): RequestQueue {
  const loaded: unknown = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')
  if (typeof loaded === 'function' && isQueue(loaded.prototype)) return loaded.prototype
  throw new Error(`kafkajs ${KNOWN_VERSION}: its request queue is not where it was; reinstall the package`)
}

function isQueue(value: unknown): value is RequestQueue {
  return typeof value === 'object' && value !== null && 'scheduleCheckPendingRequests' in value
}

/** Version of the kafkajs that would be loaded. */
export function installedVersion(): string {
  const described: unknown = createRequire(import.meta.url)('kafkajs/package.json')
  const known = typeof described === 'object' && described !== null && 'version' in described
  return known ? String(described.version) : ''
}
