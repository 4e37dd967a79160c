/**
 * Requests to file systems that may never answer: a network mount without its server, FUSE. They run one at a time, on a thread that
 * nothing waits for. A request without an answer in time costs that thread. Its file system then gets no request for a minute, nor while
 * the thread waits; other file systems get a new thread.
 *
 * Bounds: five seconds a minute for each file system that does not answer, and HUNG_MAX threads that wait for the kernel.
 */
import { readFileSync } from 'node:fs'
import { Mutex } from '../../../config/base/mutex.ts'
import { openPathWorker } from '../../../native/index.ts'
import type { PathWorker } from '../../../native/types.ts'
import { inTime } from '../../../config/base/time/in-time.ts'
import type { Patience } from '../../../config/base/time/in-time.ts'
import { mountOf, mountsOf } from './mounts.ts'
import type { Mount } from './mounts.ts'

const DEADLINE_MS = 5_000
const REST_MS = 60_000
/** A thread takes some 20 KiB of memory. */
export const HUNG_MAX = 32
/** Time for which mounts that were read count as unchanged. */
const MOUNTS_MS = 1_000

/** Matches a path in the root of a process, below the folder of processes. */
const OTHER_ROOT = /^\/(\d+)\/root(?=\/|$)/

/** The file system did not answer in time, or gets no requests for now. */
export class Unanswered extends Error {}

interface Silent {
  readonly point: string
  /** Blocks a thread. */
  stuck: boolean
  untilMs: number
}

export interface ReachOptions {
  readonly worker?: PathWorker | undefined
  /** Path of the host's proc file system, by which roots of processes are reached; default `/proc`. */
  readonly procfs?: string
  /** Monotonic; default `performance.now()`. */
  readonly nowMs?: (() => number) | undefined
  readonly deadlineMs?: number
  /** For the log. */
  readonly warn?: ((detail: object, message: string) => void) | undefined
}

const bytesOf = (path: string | Buffer): Buffer => (typeof path === 'string' ? Buffer.from(path) : path)

export class Reach {
  readonly #worker: PathWorker
  readonly #procfs: string
  readonly #nowMs: () => number
  readonly #deadlineMs: number
  readonly #warn: NonNullable<ReachOptions['warn']>
  /** File systems, by device. */
  readonly #silent = new Map<string, Silent>()
  /** Threads that wait for the kernel. */
  #hung = 0
  readonly #turns = new Mutex()
  #closing = false
  #mounts: { readonly of: string; readonly atMs: number; readonly all: readonly Mount[] } | undefined

  constructor(options: ReachOptions) {
    this.#worker = options.worker ?? openPathWorker()
    this.#procfs = options.procfs ?? '/proc'
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
    this.#warn = options.warn ?? (() => {})
  }

  /**
   * The answer to `question`, when it is its turn. Rejects as `question` does, and with Unanswered. `path` has no symbolic links but the last
   * name. `late`: gets an answer that comes too late.
   */
  async ask<T>(
    path: string | Buffer,
    question: (worker: PathWorker, path: Buffer) => Promise<T>,
    patience?: Patience,
    late: (answer: T) => void = () => {},
  ): Promise<T> {
    if (this.#closing) throw new Unanswered('request cancelled: the caller no longer waits for it')
    return this.#turns.run(() => this.#ask(bytesOf(path), question, patience, late))
  }

  /** A descriptor of the path, for `release` or the worker. Rejects with NativeError if there is none, and with Unanswered. */
  async find(path: string | Buffer, patience?: Patience): Promise<number> {
    const late = (fd: number): void => void this.#worker.release(fd).catch(() => {})
    return this.ask(path, (worker, bytes) => worker.find(bytes), patience, late)
  }

  /** Closes a descriptor, also on a silent file system. If that was unmounted meanwhile, this ends it. Never rejects. */
  async release(path: string | Buffer, fd: number): Promise<void> {
    await this.#turns.run(() => this.#inTime(bytesOf(path), this.#worker.release(fd))).catch(() => {})
  }

  /** Earlier requests are still answered. */
  close(): void {
    this.#closing = true
    void this.#turns.run(async () => this.#closeIfDone())
  }

  /** A late answer may be a descriptor. */
  #closeIfDone(): void {
    if (this.#closing && this.#hung === 0) this.#worker.close()
  }

  async #ask<T>(
    path: Buffer,
    question: (worker: PathWorker, path: Buffer) => Promise<T>,
    patience: Patience | undefined,
    late: (answer: T) => void,
  ): Promise<T> {
    const silent = this.#silent.size === 0 ? undefined : this.#silentAt(path)
    if (silent !== undefined) throw unanswered(silent.point)
    if (this.#hung >= HUNG_MAX) {
      throw new Unanswered(`not checked, because ${HUNG_MAX} other file systems do not answer; check their servers`)
    }
    return this.#inTime(path, question(this.#worker, path), patience, late)
  }

  async #inTime<T>(
    path: Buffer,
    answer: Promise<T>,
    patience?: Patience,
    late: (answer: T) => void = () => {},
  ): Promise<T> {
    const abandon = (over: PromiseWithResolvers<never>): void => {
      this.#abandon(path, answer, late)
      over.reject(unanswered(this.#mountOf(path)?.point))
    }
    return inTime(answer, this.#deadlineMs, abandon, patience)
  }

  #abandon<T>(path: Buffer, answer: Promise<T>, late: (answer: T) => void): void {
    this.#worker.abandon()
    this.#hung++
    const silent = this.#rest(path)
    const returned = (): void => {
      this.#hung--
      this.#closeIfDone()
      if (silent !== undefined) silent.stuck = false
    }
    answer.then(late, () => {}).finally(returned)
  }

  /** Sends the file system no requests for a while. */
  #rest(path: Buffer): Silent | undefined {
    const mount = this.#mountOf(path)
    if (mount === undefined) return undefined
    const silent = { point: mount.point, stuck: true, untilMs: this.#nowMs() + REST_MS }
    this.#silent.set(mount.device, silent)
    this.#warn({ mount: mount.point }, 'a file system does not answer: its files in policies stay watched as before')
    return silent
  }

  #silentAt(path: Buffer): Silent | undefined {
    const { device = '' } = this.#mountOf(path) ?? {}
    const silent = this.#silent.get(device)
    if (silent === undefined || silent.stuck || this.#nowMs() < silent.untilMs) return silent
    this.#silent.delete(device)
    return undefined
  }

  /** Undefined for a process that has ended. */
  #mountOf(path: Buffer): Mount | undefined {
    const text = path.toString('latin1')
    const below = text.startsWith(`${this.#procfs}/`) ? text.slice(this.#procfs.length) : ''
    const [root, pid] = OTHER_ROOT.exec(below) ?? []
    if (root === undefined) return mountOf(this.#mountsOf('/proc/self'), text)
    return mountOf(this.#mountsOf(`${this.#procfs}/${pid}`), below.slice(root.length) || '/')
  }

  #mountsOf(process: string): readonly Mount[] {
    const nowMs = this.#nowMs()
    if (this.#mounts?.of === process && nowMs < this.#mounts.atMs + MOUNTS_MS) return this.#mounts.all
    let all: readonly Mount[] = []
    try {
      all = mountsOf(readFileSync(`${process}/mountinfo`, 'latin1'))
    } catch {
      // The process has ended.
    }
    this.#mounts = { of: process, atMs: nowMs, all }
    return all
  }
}

const unanswered = (point: string | undefined): Unanswered =>
  new Unanswered(
    `the file system${point === undefined ? '' : ` mounted at ${JSON.stringify(point)}`} does not answer; check its server`,
  )
