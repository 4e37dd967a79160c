/**
 * Makes the table agree with the kernel's after records of processes were lost: an exit that never came leaves an image for ever, an
 * exec that never came a process under a wrong name.
 *
 *   lost ─▶ (a tick) ─▶ look at the kernel's table ─▶ read what was in the ring by then ─▶ compare, in slices
 *
 * An image that the kernel does not have is released as if it had exited, without an event: the loss is counted already. A process that
 * only the kernel has is read from /proc. Nothing is decided by what may still be on its way: images younger than the look are
 * left alone, and the ring is read up to the look before anything is compared.
 */
import { setImmediate } from 'node:timers/promises'
import type { StartKey } from '../ingest/decode.ts'
import type { Image } from './image.ts'
import { startOf } from './image.ts'
import { readProcess, startedAt } from './procfs.ts'
import type { ProcessTable } from './table.ts'

/** An entry of the kernel's table. */
export interface KernelProcess {
  readonly pid: number
  readonly start: StartKey
  readonly parentTgid: number
  readonly parentStart: StartKey
}

export interface ReconcileOptions {
  readonly table: ProcessTable
  readonly kernel: {
    /** In parts; between two of them others run. */
    processes(): Iterable<readonly KernelProcess[]>
    processStart(pid: number): bigint | undefined
    /** False when the kernel has an entry for this pid, or no room. */
    seedProcess(pid: number, startNs: bigint, parentPid: number): boolean
    forgetProcess(pid: number): void
  }
  readonly procfs: string
  /** How many records of processes were lost so far. */
  readonly lost: () => number
  /** Exits that the kernel's own table has missed so far: it then has processes that are gone. */
  readonly missedExits: () => number
  /** Bytes that wait in the ring. */
  readonly waiting: () => number
  /** CLOCK_BOOTTIME. */
  readonly bootNs: () => bigint
  readonly onDone: (done: Reconciled) => void
  readonly onFailed: (error: unknown) => void
}

export interface Reconciled {
  /** Images that were released. */
  readonly released: number
  /** Processes that were read from /proc. */
  readonly adopted: number
}

/** A program of ours that was interrupted between its look at the clock and the ring is through by then. */
const MARGIN_NS = 1_000_000_000n
/** /proc gives start times in ticks. */
const TICK_NS = 10_000_000n
/** Others wait no longer than about this. */
const SLICE_MS = 4
/** Taken at most from the kernel's table in one round: the next one takes the rest. */
const MOST_UNKNOWN = 8192
/** While losses go on it takes at most so much of the time. */
const SHARE = 1 / 10

export class Reconciler {
  readonly #options: ReconcileOptions
  #lost: number
  #missedExits: number
  #due = false
  #running: Promise<void> | undefined
  #notBeforeMs = 0
  #round = 0
  #stopped = false
  /** When this turn of the event loop began, and what the turns before took. */
  #sliceMs = 0
  #workMs = 0
  /** Bytes of the ring still to be read before what was found counts, and who waits for them. */
  #behind = 0
  #caughtUp: (() => void) | undefined
  #released = 0
  #adopted = 0

  constructor(options: ReconcileOptions) {
    this.#options = options
    this.#lost = options.lost()
    this.#missedExits = options.missedExits()
  }

  /** All so far. */
  get done(): Reconciled {
    return { released: this.#released, adopted: this.#adopted }
  }

  /** Looks for new losses; call it every second or two. The tick after the last loss sees all of it from the distance of the margin. */
  tick(nowMs: number): void {
    const lost = this.#options.lost()
    const run = this.#due && this.#running === undefined && nowMs >= this.#notBeforeMs
    if (run) {
      this.#running = this.#run()
        .catch(this.#options.onFailed)
        .finally(() => (this.#running = undefined))
    }
    this.#due = lost > this.#lost || (this.#due && !run)
    this.#lost = lost
  }

  /** So many bytes came out of the ring and were taken into the table; 0: it was found empty. */
  read(bytes: number): void {
    if (this.#caughtUp === undefined) return
    this.#behind = bytes === 0 ? 0 : this.#behind - bytes
    if (this.#behind > 0) return
    this.#caughtUp()
    this.#caughtUp = undefined
  }

  /** Ends what runs, and waits for it. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#caughtUp?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { kernel, procfs, missedExits, bootNs, onDone } = this.#options
    // Another namespace's proc file system, or none, would make every process look gone.
    if (typeof startedAt(procfs, process.pid) !== 'bigint') return
    this.#workMs = 0
    this.#sliceMs = performance.now()
    const before = this.done
    const missed = missedExits()
    const asksAll = missed > this.#missedExits
    this.#missedExits = missed
    const oldNs = bootNs() - MARGIN_NS
    const round = ++this.#round
    const unknown: KernelProcess[] = []
    for (const part of kernel.processes()) {
      this.#compare(part, round, oldNs, unknown)
      await this.#pause()
      if (this.#stopped) return
    }
    await this.#ringRead()
    if (this.#stopped) return
    await this.#releaseGone(round, oldNs, asksAll)
    await this.#adoptUnknown(unknown)
    if (this.#stopped) return
    this.#notBeforeMs = performance.now() + this.#workMs / SHARE
    const { released, adopted } = this.done
    onDone({ released: released - before.released, adopted: adopted - before.adopted })
  }

  #compare(part: readonly KernelProcess[], round: number, oldNs: bigint, unknown: KernelProcess[]): void {
    for (const entry of part) {
      const image = this.#options.table.find(entry.pid, entry.start.lo, entry.start.hi)
      if (image !== undefined) image.seen = round
      else if (unknown.length < MOST_UNKNOWN && startOf(entry.start.lo, entry.start.hi) <= oldNs) unknown.push(entry)
    }
  }

  /** Until what waits in the ring now is read. */
  async #ringRead(): Promise<void> {
    const read = Promise.withResolvers<void>()
    this.#behind = this.#options.waiting()
    this.#caughtUp = read.resolve
    if (this.#stopped) read.resolve()
    await read.promise
    this.#sliceMs = performance.now()
  }

  async #releaseGone(round: number, oldNs: bigint, asksAll: boolean): Promise<void> {
    const { table } = this.#options
    for (const image of table.latest()) {
      const { pid } = image.process
      if (image.ended || pid === 0 || startOf(image.startLo, image.startHi) > oldNs) continue
      const seen = image.seen === round
      if (seen && !asksAll) continue
      if (!this.#isAlive(image, seen)) {
        table.exit(pid, image.startLo, image.startHi, performance.now())
        this.#released++
      }
      await this.#pause()
      if (this.#stopped) return
    }
  }

  /** Asks the kernel's table again, then /proc; and puts right what the kernel's table has. */
  #isAlive(image: Image, seen: boolean): boolean {
    const { kernel } = this.#options
    const { pid } = image.process
    const startNs = startOf(image.startLo, image.startHi)
    // Another image of the pid, or this one came into the kernel's table meanwhile.
    const now = kernel.processStart(pid)
    if (!seen && now !== undefined) return now === startNs
    const exists = this.#exists(pid, startNs)
    // A fork may take the pid between the two: then it is unknown until its exec, or a later look.
    if (!exists && now === startNs && kernel.processStart(pid) === startNs) kernel.forgetProcess(pid)
    // There was no room for it, so its exit would not be reported.
    if (exists && !seen && kernel.seedProcess(pid, startNs, image.parent?.process.pid ?? 0)) {
      if (!this.#exists(pid, startNs)) kernel.forgetProcess(pid)
    }
    return exists
  }

  /** Whether the process that has this pid now is old enough to have had an image of that start. When in doubt it is. */
  #exists(pid: number, startNs: bigint): boolean {
    const started = startedAt(this.#options.procfs, pid)
    return started === 'unknown' || (started !== 'gone' && started <= startNs + TICK_NS)
  }

  async #adoptUnknown(unknown: KernelProcess[]): Promise<void> {
    const { table, kernel, procfs } = this.#options
    // Parents before children.
    unknown.sort((a, b) => a.start.hi - b.start.hi || a.start.lo - b.start.lo)
    for (const { pid, start, parentTgid, parentStart } of unknown) {
      await this.#pause()
      // What does not fit now was evicted a moment ago.
      if (this.#stopped || !table.hasRoom) return
      const startNs = startOf(start.lo, start.hi)
      if (table.find(pid, start.lo, start.hi) !== undefined) continue
      const exists = this.#exists(pid, startNs)
      const found = exists ? readProcess(procfs, pid) : undefined
      // Asked after /proc was read: what was read is of no later image.
      if (kernel.processStart(pid) !== startNs) continue
      if (!exists) kernel.forgetProcess(pid)
      if (found === undefined) continue
      table.adopt(found, startNs, parentTgid, parentStart, performance.now())
      this.#adopted++
    }
    if (unknown.length === MOST_UNKNOWN) this.#due = true
  }

  async #pause(): Promise<void> {
    const ms = performance.now() - this.#sliceMs
    if (ms < SLICE_MS) return
    this.#workMs += ms
    await setImmediate()
    this.#sliceMs = performance.now()
  }
}
