/**
 * The socket of one runtime: its API, and whether it gets requests at all.
 *
 *   not asked yet ─ask─▶ docker or cri ─answers─▶ asked on
 *                             └─ fails ─▶ away for 0.25 to 30 s, longer each time ─▶ not asked yet
 *
 * Constraints: the runtime may be hostile or hang. An answer is bounded in bytes (runtime.ts) and in time; while it is away nobody waits.
 */
import { backOffMs } from '../../config/base/time/back-off.ts'
import { errnoOf } from '../../config/base/unreadable.ts'
import type { NamedContainer } from '../../exporters/contract/event.ts'
import { docker } from './docker.ts'
import type { RuntimeApi } from './runtime.ts'

/** Runtimes answer in milliseconds; no event waits longer. */
export const ANSWER_MS = 2_000
const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 30_000

export interface RuntimeSocketOptions {
  readonly path: string
  /** One sentence each; not called twice with the same. `runtime`: it answers. */
  readonly onAnswer: (runtime: string) => void
  readonly onProblem: (problem: string, isAbsent: boolean) => void
  readonly nowMs: () => number
  readonly answerMs: number
}

export class RuntimeSocket implements Disposable {
  readonly path: string
  readonly #options: RuntimeSocketOptions
  #api: Promise<RuntimeApi> | undefined
  #awayUntilMs = -Infinity
  #failures = 0
  #problem: string | undefined
  #isAbsent = false

  constructor(options: RuntimeSocketOptions) {
    this.path = options.path
    this.#options = options
  }

  get isAway(): boolean {
    return this.#options.nowMs() < this.#awayUntilMs
  }

  /** Whether an existing socket did not answer the last request. */
  get hasFailed(): boolean {
    return this.#failures > 0 && !this.#isAbsent
  }

  /** Finds out which API it is. Never rejects. */
  async open(): Promise<void> {
    await this.#within((signal) => this.#opened(signal))
  }

  /** The container whose id begins so; undefined also when it does not answer. Never rejects. */
  async container(shortId: string): Promise<NamedContainer | undefined> {
    if (this.isAway) return undefined
    return this.#within(async (signal) => (await this.#opened(signal)).container(shortId, signal))
  }

  async #within<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const { answerMs, nowMs } = this.#options
    const startMs = nowMs()
    const late = AbortSignal.timeout(answerMs)
    try {
      const answer = await ask(late)
      this.#failures = 0
      return answer
    } catch (error) {
      // Several requests that began before the same failure count once.
      if (startMs >= this.#awayUntilMs) this.#failed(late.aborted ? `no answer within ${answerMs / 1000} s` : error)
      return undefined
    }
  }

  #opened(signal: AbortSignal): Promise<RuntimeApi> {
    this.#api ??= this.#find(signal)
    return this.#api
  }

  async #find(signal: AbortSignal): Promise<RuntimeApi> {
    const { path } = this
    const api = (await docker(path, signal)) ?? (await (await import('./cri.ts')).cri(path, signal))
    this.#problem = undefined
    this.#options.onAnswer(api.name)
    return api
  }

  #failed(error: unknown): void {
    this[Symbol.dispose]()
    const delayMs = backOffMs(FIRST_DELAY_MS, MAX_DELAY_MS, this.#failures)
    this.#failures++
    this.#awayUntilMs = this.#options.nowMs() + delayMs
    const problem = sentenceOf(error)
    this.#isAbsent = errnoOf(error) === 'ENOENT'
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.onProblem(problem, this.#isAbsent)
  }

  [Symbol.dispose](): void {
    void this.#api?.then(
      (api) => api[Symbol.dispose](),
      () => {},
    )
    this.#api = undefined
  }
}

function sentenceOf(error: unknown): string {
  const code = errnoOf(error)
  if (code === 'ENOENT') return 'no such socket'
  if (code === 'ECONNREFUSED') return 'nothing listens there'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  const text = error instanceof Error ? error.message : String(error)
  return text.split('\n', 1)[0]?.slice(0, 300) ?? ''
}
