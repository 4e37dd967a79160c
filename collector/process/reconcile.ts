/**
 * Corrects the process table from the kernel's table after process records were lost: a lost exit would leave an image for ever, a lost exec a
 * process under a wrong name.
 *
 *   lost ─▶ (a tick) ─▶ look at the kernel's table ─▶ read what was in the ring by then ─▶ compare, in slices
 *
 * An image that the kernel does not have is released as if it had exited, without an event: the loss is counted already. A process that only
 * the kernel has is read from /proc. Records that are still in the ring do not disturb this: images younger than the look are left alone, and
 * the ring is read up to the look before the comparison.
 */
import { setImmediate } from 'node:timers/promises'
import type { Mutable } from '../wire/values.ts'
import type { Kernel, KernelProcess } from '../kernel/port.ts'
import type { Image } from './image.ts'
import { startOf } from './image.ts'
import type { ProcessFiles } from './detail/process-files.ts'
import { startedAt } from '../host/proc-stat.ts'
import { readProcess } from './procfs.ts'
import type { ProcessTable } from './table.ts'

export interface ReconcileOptions {
  readonly table: ProcessTable
  readonly kernel: Pick<Kernel, 'processes' | 'processStart' | 'seedProcess' | 'forgetProcess'>
  readonly procfs: string
  readonly files: ProcessFiles
  /** Lost process records. */
  readonly lost: () => number
  /** Exits that the kernel's table has missed: it then contains ended processes. */
  readonly missedExits: () => number
  /** Bytes that wait in the ring. */
  readonly waiting: () => number
  /** CLOCK_BOOTTIME. */
  readonly bootNs: () => bigint
  readonly onDone: (done: Reconciled) => void
  readonly onFailed: (error: unknown) => void
}

export interface Reconciled {
  /** Released images. */
  readonly released: number
  /** Processes read from /proc. */
  readonly adopted: number
}

/** Longer than a BPF program takes between reading the clock and writing to the ring, even if interrupted. */
const MARGIN_NS = 1_000_000_000n
/** /proc gives start times in ticks. */
const TICK_NS = 10_000_000n
/** Longest turn of the event loop. */
const SLICE_MS = 4
/** Most unknown processes per round; the next round takes the rest. */
const MOST_UNKNOWN = 8192
/** Share of the time that reconciliation may take while losses continue, and the longest time without one. */
const SHARE = 1 / 10
const REST_MS = 30_000

export class Reconciler {
  readonly #options: ReconcileOptions
  #lost: number
  #missedExits: number
  #due = false
  #running: Promise<void> | undefined
  #notBeforeMs = 0
  #round = 0
  #stopped = false
  /** Start of this turn of the event loop, and time spent in earlier turns. */
  #sliceMs = 0
  #workMs = 0
  /** Bytes of the ring to read before the comparison, and the callback for when they are. */
  #behind = 0
  #caughtUp: (() => void) | undefined
  /** The counts of the running reconciliation, or of the last one. */
  #done: Mutable<Reconciled> = { released: 0, adopted: 0 }

  constructor(options: ReconcileOptions) {
    this.#options = options
    this.#lost = options.lost()
    this.#missedExits = options.missedExits()
  }

  /** Checks for new losses; call it every second or two. Runs one tick after the last loss, so that the margin has passed. */
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

  /** Runs at the next tick, without a loss. */
  demand(): void {
    this.#due = true
  }

  /** Reports bytes of the ring that are in the table now; 0: the ring is empty. */
  read(bytes: number): void {
    if (this.#caughtUp === undefined) return
    this.#behind = bytes === 0 ? 0 : this.#behind - bytes
    if (this.#behind > 0) return
    this.#caughtUp()
    this.#caughtUp = undefined
  }

  /** Stops a running reconciliation and waits for its end. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#caughtUp?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { kernel, procfs, missedExits, bootNs, onDone } = this.#options
    // With no /proc, or that of another pid namespace, every process would seem to be gone.
    if (typeof startedAt(procfs, process.pid) !== 'bigint') return
    this.#workMs = 0
    this.#sliceMs = performance.now()
    this.#done = { released: 0, adopted: 0 }
    const missed = missedExits()
    const checkAll = missed > this.#missedExits
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
    await this.#releaseGone(round, oldNs, checkAll)
    await this.#adoptUnknown(unknown)
    if (this.#stopped) return
    this.#notBeforeMs = performance.now() + Math.min(this.#workMs / SHARE, REST_MS)
    onDone(this.#done)
  }

  #compare(part: readonly KernelProcess[], round: number, oldNs: bigint, unknown: KernelProcess[]): void {
    for (const entry of part) {
      const image = this.#options.table.find(entry.pid, entry.start.lo, entry.start.hi)
      if (image !== undefined) image.seen = round
      else if (unknown.length < MOST_UNKNOWN && startOf(entry.start.lo, entry.start.hi) <= oldNs) unknown.push(entry)
    }
  }

  /** Waits until the current content of the ring is read. */
  async #ringRead(): Promise<void> {
    const read = Promise.withResolvers<void>()
    this.#behind = this.#options.waiting()
    this.#caughtUp = read.resolve
    if (this.#stopped) read.resolve()
    await this.#wait(read.promise)
  }

  async #releaseGone(round: number, oldNs: bigint, checkAll: boolean): Promise<void> {
    const { table } = this.#options
    for (const image of table.latest()) {
      const { pid } = image.process
      if (image.ended || pid === 0 || startOf(image.startLo, image.startHi) > oldNs) continue
      const seen = image.seen === round
      if (seen && !checkAll) continue
      if (!this.#isAlive(image, seen)) {
        table.exit(pid, image.startLo, image.startHi, performance.now())
        this.#done.released++
      }
      await this.#pause()
      if (this.#stopped) return
    }
  }

  /** Checks the kernel's table again, then /proc, and corrects the kernel's entry. */
  #isAlive(image: Image, seen: boolean): boolean {
    const { kernel } = this.#options
    const { pid } = image.process
    const startNs = startOf(image.startLo, image.startHi)
    // The kernel's table now has this image, or another one of the pid.
    const now = kernel.processStart(pid)
    if (!seen && now !== undefined) return now === startNs
    const exists = this.#exists(pid, startNs)
    // If a fork takes the pid in between, it stays unknown until its exec or a later round.
    if (!exists && now === startNs && kernel.processStart(pid) === startNs) kernel.forgetProcess(pid)
    // The kernel's table had no room for it, so its exit would not be reported.
    if (exists && !seen && kernel.seedProcess(pid, startNs, image.parent?.process.pid ?? 0)) {
      if (!this.#exists(pid, startNs)) kernel.forgetProcess(pid)
    }
    return exists
  }

  /** Whether the process that has this pid now can have had an image with that start time; true when in doubt. */
  #exists(pid: number, startNs: bigint): boolean {
    const started = startedAt(this.#options.procfs, pid)
    return started === 'unknown' || (started !== 'gone' && started <= startNs + TICK_NS)
  }

  async #adoptUnknown(unknown: KernelProcess[]): Promise<void> {
    const { table, kernel, procfs, files } = this.#options
    // Parents before children.
    unknown.sort((a, b) => a.start.hi - b.start.hi || a.start.lo - b.start.lo)
    for (const { pid, start, parentTgid, parentStart } of unknown) {
      await this.#pause()
      // Without room, the rest would be evicted at once.
      if (this.#stopped || !table.budget.hasRoom) return
      const startNs = startOf(start.lo, start.hi)
      const exists = this.#exists(pid, startNs)
      const found = exists ? await this.#wait(readProcess(procfs, pid, files)) : undefined
      if (this.#stopped) return
      // Checked after reading /proc, which proves that it was not read from a later image.
      if (kernel.processStart(pid) !== startNs || table.find(pid, start.lo, start.hi) !== undefined) continue
      if (!exists) kernel.forgetProcess(pid)
      if (found === undefined) continue
      table.adopt(found, startNs, parentTgid, parentStart, performance.now())
      this.#done.adopted++
    }
    if (unknown.length === MOST_UNKNOWN) this.#due = true
  }

  async #pause(): Promise<void> {
    if (performance.now() - this.#sliceMs >= SLICE_MS) await this.#wait(setImmediate())
  }

  /** Ends a slice. The time until the result is no work: the kernel may not answer a read for seconds. */
  async #wait<T>(result: Promise<T>): Promise<T> {
    this.#workMs += performance.now() - this.#sliceMs
    try {
      return await result
    } finally {
      this.#sliceMs = performance.now()
    }
  }
}
