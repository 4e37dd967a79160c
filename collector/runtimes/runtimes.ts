/**
 * Names of containers that Kubernetes does not know, from the sockets of their runtimes:
 *
 *   enricher ─▶ lookup ─▶ known? ─yes─▶ name, image, labels
 *                           └─no──▶ asked, eight at a time, of each socket in turn ─▶ known, or known to none for half a minute
 *
 * Constraints: called for events of processes whose container has no name yet. The enrichment stage decides whether an event waits; none
 * waits for a runtime that is away. Containers kept and waiting are bounded in number and each in bytes.
 */
import { RUNTIME_SOCKETS } from '../../config/agent/workloads/containers.ts'
import type { ContainersConfig } from '../../config/agent/schema.ts'
import type { NamedContainer } from '../../exporters/contract/event.ts'
import type { Log } from '../host/log.ts'
import { putNewest } from '../host/newest.ts'
import { keptOf } from './runtime.ts'
import { ANSWER_MS, RuntimeSocket } from './socket.ts'

/** More containers than a host runs at a time; the last used stay. */
const MOST_KNOWN = 2048
const MOST_WAITING = 2048
const AT_A_TIME = 8
/** Time until the next request for a container that no runtime knows: containers of a build, for instance, are in no list. */
const UNKNOWN_MS = 30_000
/** Time until the next request if a runtime did not answer. */
const UNSURE_MS = 1_000

export interface RuntimesOptions {
  readonly config: ContainersConfig
  readonly log: Pick<Log, 'info' | 'warn'>
  /** Used if the config names none; other ones in tests. */
  readonly usual?: readonly string[]
  /** Monotonic. */
  readonly nowMs?: () => number
  readonly answerMs?: number
}

interface CachedContainer {
  readonly container: NamedContainer | undefined
  /** The next request for a container that no runtime knows. */
  readonly untilMs: number
}

export class Runtimes implements Disposable {
  readonly #labels: readonly string[]
  readonly #sockets: readonly RuntimeSocket[]
  readonly #nowMs: () => number
  readonly #log: RuntimesOptions['log']
  readonly #known = new Map<string, CachedContainer>()
  readonly #asked = new Map<string, PromiseWithResolvers<void>>()
  readonly #queue: string[] = []
  #running = 0

  constructor({
    config,
    log,
    usual = RUNTIME_SOCKETS,
    nowMs = () => performance.now(),
    answerMs = ANSWER_MS,
  }: RuntimesOptions) {
    this.#labels = config.labels
    this.#nowMs = nowMs
    this.#log = log
    const named = config.sockets !== undefined
    this.#sockets = (config.sockets ?? usual).map(
      (path) =>
        new RuntimeSocket({
          path,
          nowMs,
          answerMs,
          onAnswer: (runtime) => log.info({ runtime, socket: path }, 'containers get their names from their runtime'),
          onProblem: (problem, isAbsent) => {
            if (isAbsent && !named) return
            log.warn(
              `containers: ${path}: ${problem}; its containers have no names until it answers; expected the socket of Docker, podman, containerd or CRI-O`,
            )
          },
        }),
    )
  }

  /** Finds the running runtimes, and logs them. Never rejects. */
  async start(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.open()))
    if (this.#sockets.some(({ isAway }) => !isAway)) return
    const paths = this.#sockets.map(({ path }) => path).join(', ')
    this.#log.warn(`containers: no runtime answers at ${paths}; set containers.sockets to its socket`)
  }

  /**
   * Looks up a container by short id. A promise settles when the answer has arrived: then call it again. undefined: no runtime knows it, or none
   * answers.
   */
  lookup(shortId: string): NamedContainer | Promise<void> | undefined {
    const known = this.#known.get(shortId)
    if (known?.container !== undefined) {
      putNewest(this.#known, shortId, known, MOST_KNOWN)
      return known.container
    }
    if (known !== undefined && this.#nowMs() < known.untilMs) return undefined
    const asked = this.#asked.get(shortId)
    if (asked !== undefined) return asked.promise
    if (this.#asked.size >= MOST_WAITING || this.#sockets.every(({ isAway }) => isAway)) return undefined
    const answered = Promise.withResolvers<void>()
    this.#asked.set(shortId, answered)
    this.#queue.push(shortId)
    this.#next()
    return answered.promise
  }

  #next(): void {
    if (this.#running >= AT_A_TIME) return
    const shortId = this.#queue.shift()
    if (shortId === undefined) return
    this.#running++
    void this.#ask(shortId).then((container) => {
      this.#running--
      const unknownMs = this.#sockets.some(({ hasFailed }) => hasFailed) ? UNSURE_MS : UNKNOWN_MS
      putNewest(this.#known, shortId, { container, untilMs: this.#nowMs() + unknownMs }, MOST_KNOWN)
      this.#asked.get(shortId)?.resolve()
      this.#asked.delete(shortId)
      this.#next()
    })
  }

  async #ask(shortId: string): Promise<NamedContainer | undefined> {
    for (const socket of this.#sockets) {
      const described = await socket.container(shortId)
      const kept = described && keptOf(described, shortId, this.#labels)
      if (kept !== undefined) return kept
    }
    return undefined
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]()
  }
}
