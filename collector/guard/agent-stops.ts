/**
 * Finds stops of the agent itself: by SIGSTOP, by the freezer of its cgroup, in a debugger. While it does not run, only others can notice
 * (`/livez`, the watchdog of systemd); it reports the duration afterwards.
 *
 * A gap alone proves nothing: a thread blocked in the kernel, or with a stopped virtual machine, has neither run nor waited for a CPU
 * (schedstat). Only a gap with a trace is a stop: SIGCONT, a cgroup.events notification, another cgroup, a tracer. Others are logged.
 */
import { watch } from 'node:fs'
import type { Log } from '../host/log.ts'
import { readOr } from '../host/read.ts'
import type { Finding } from '../kernel/watched/finding.ts'

/** The longest time between two checks of an agent that runs: the pace of the housekeeping of an idle one. */
const PACE_MS = 6_000
/** A gap that exceeds it by less may have other reasons. */
const LATE_MS = 2_000
const NSEC_A_MSEC = 1e6
const ON = 'the agent'

export interface AgentStopsOptions {
  readonly log: Pick<Log, 'info' | 'warn'>
  /** Monotonic, without the time for which the host slept. */
  readonly nowMs?: () => number
  /** Bytes of a file of /proc, by its path there; undefined when it cannot be read. */
  readonly read?: (file: 'self/status' | 'self/schedstat' | 'self/cgroup' | 'uptime') => string | undefined
  /** Calls `frozen` when a cgroup.events shows that its processes were frozen, or are no longer; returns how to end that. */
  readonly watchFile?: (path: string, frozen: () => void) => () => void
}

export class AgentStops implements Disposable {
  readonly #options: Required<AgentStopsOptions>
  #lastMs: number
  #lastGapMs = 0
  #lastBusyMs: number
  #lastSleptMs: number
  #cgroup: string | undefined
  #unwatch: (() => void) | undefined
  #reported = false
  /** Longest possible duration of a stop that left a trace. */
  #stoppedMs: number | undefined
  /** A gap whose trace may still come. */
  #unexplained: string | undefined
  readonly #continued = (): void => {
    const sinceMs = this.#options.nowMs() - this.#lastMs
    // A timer that was due comes before the signal.
    if (sinceMs > LATE_MS || !this.#reported) this.#stoppedMs = sinceMs > LATE_MS ? sinceMs : this.#lastGapMs + sinceMs
  }

  constructor(options: AgentStopsOptions) {
    this.#options = { nowMs: () => performance.now(), read: readProc, watchFile: watching, ...options }
    this.#lastMs = this.#options.nowMs()
    this.#lastBusyMs = this.#busyMs()
    this.#lastSleptMs = this.#sleptMs()
    this.#follow()
    process.on('SIGCONT', this.#continued)
  }

  check(): Finding[] {
    const nowMs = this.#options.nowMs()
    const busyMs = this.#busyMs()
    const gapMs = nowMs - this.#lastMs
    const ownMs = busyMs - this.#lastBusyMs
    const late = gapMs - ownMs > PACE_MS + LATE_MS
    const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(this.#options.read('self/status') ?? '')?.[1] ?? 0)
    const traced = this.#follow() || tracer > 0
    const stoppedMs = this.#stoppedMs ?? (late && traced ? gapMs : undefined)
    if (this.#unexplained !== undefined && stoppedMs === undefined) this.#options.log.warn(this.#unexplained)
    this.#unexplained = late && stoppedMs === undefined ? unexplained(gapMs, ownMs) : undefined
    this.#reportSleep()
    this.#lastMs = nowMs
    this.#lastBusyMs = busyMs
    this.#lastGapMs = gapMs
    this.#stoppedMs = undefined
    this.#reported = stoppedMs !== undefined
    const findings: Finding[] = []
    if (stoppedMs !== undefined) {
      const got = `it was stopped for up to ${seconds(stoppedMs)} s`
      findings.push({ kind: 'agent_stopped', on: ON, expected: 'to run', got, repaired: true })
    }
    if (tracer > 0) {
      const got = `traced by process ${tracer}`
      findings.push({ kind: 'agent_traced', on: ON, expected: 'no tracer', got, repaired: false })
    }
    return findings
  }

  /** Time that the main thread has run or has waited for a CPU: the fields of Documentation/scheduler/sched-stats.rst. */
  #busyMs(): number {
    const [ran = 0, waited = 0] = (this.#options.read('self/schedstat') ?? '').split(' ').map(Number)
    return (ran + waited) / NSEC_A_MSEC
  }

  /** Time that the host has slept, plus a constant: CLOCK_BOOTTIME less CLOCK_MONOTONIC. */
  #sleptMs(): number {
    return Number((this.#options.read('uptime') ?? '0').split(' ', 1)[0]) * 1000 - this.#options.nowMs()
  }

  #reportSleep(): void {
    const sleptMs = this.#sleptMs()
    const moreMs = sleptMs - this.#lastSleptMs
    this.#lastSleptMs = sleptMs
    if (moreMs > LATE_MS) this.#options.log.info(`the host was suspended for ${seconds(moreMs)} s, and no program ran`)
  }

  /** Watches the cgroup that the agent is in, of version 2: freezing it, or one above, changes its cgroup.events. Returns whether it is another one. */
  #follow(): boolean {
    const cgroup = /^0::(\/.*)$/m.exec(this.#options.read('self/cgroup') ?? '')?.[1]
    if (cgroup === this.#cgroup) return false
    const moved = this.#cgroup !== undefined
    this.#cgroup = cgroup
    this.#unwatch?.()
    this.#unwatch = this.#options.watchFile(`/sys/fs/cgroup${cgroup}/cgroup.events`, this.#continued)
    return moved
  }

  [Symbol.dispose](): void {
    this.#unwatch?.()
    process.off('SIGCONT', this.#continued)
  }
}

const readProc = (file: string): string | undefined => readOr(`/proc/${file}`)

const seconds = (ms: number): string => (ms / 1000).toFixed(1)

function unexplained(gapMs: number, ownMs: number): string {
  const got = `it ran or waited for a CPU for ${seconds(ownMs)} s of it, and no other process seems to have stopped it`
  const next = 'check the host for lack of memory, disk or CPU (/proc/pressure), and for a paused virtual machine'
  return `the agent was held up for ${seconds(gapMs)} s: ${got}: ${next}`
}

/** The root has no cgroup.events, and is never frozen. */
function watching(path: string, frozen: () => void): () => void {
  try {
    // The file also changes when the last process leaves.
    const watcher = watch(path, () => /^populated 1$/m.test(readOr(path) ?? '') && frozen())
    watcher.on('error', () => watcher.close())
    return () => watcher.close()
  } catch {
    return () => {}
  }
}
