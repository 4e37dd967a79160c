/**
 * Whether others hold up the agent itself: by SIGSTOP, by the freezer of its cgroup, in a debugger. While it does not run only others can notice
 * (`/livez`, the watchdog of systemd); it reports afterwards for how long.
 */
import { readFileSync } from 'node:fs'
import type { Finding } from './finding.ts'

/** The longest time between two checks of an agent that runs: the pace of the housekeeping of an idle one. */
const PACE_MS = 6_000
/** A gap longer than that by less may have other reasons. */
const LATE_MS = 2_000
const NSEC_A_MSEC = 1e6
const ON = 'the agent'

export interface AgentStopsOptions {
  /** Monotonic, without the time for which the host slept. */
  readonly nowMs?: () => number
  /** Bytes of a file of /proc/self; undefined when it cannot be read. */
  readonly read?: (file: 'status' | 'schedstat') => string | undefined
}

export class AgentStops implements Disposable {
  readonly #nowMs: () => number
  readonly #read: NonNullable<AgentStopsOptions['read']>
  #lastMs: number
  #lastGapMs = 0
  #lastBusyMs: number
  #reported = false
  /** The longest time for which it can have been stopped when SIGCONT came. */
  #stoppedMs: number | undefined
  readonly #continued = (): void => {
    const sinceMs = this.#nowMs() - this.#lastMs
    // A timer that was due comes before the signal.
    if (sinceMs > LATE_MS || !this.#reported) this.#stoppedMs = sinceMs > LATE_MS ? sinceMs : this.#lastGapMs + sinceMs
  }

  constructor({ nowMs = () => performance.now(), read = readOwn }: AgentStopsOptions = {}) {
    this.#nowMs = nowMs
    this.#read = read
    this.#lastMs = nowMs()
    this.#lastBusyMs = this.#busyMs()
    process.on('SIGCONT', this.#continued)
  }

  check(): Finding[] {
    const nowMs = this.#nowMs()
    const busyMs = this.#busyMs()
    const gapMs = nowMs - this.#lastMs
    const late = gapMs - (busyMs - this.#lastBusyMs) > PACE_MS + LATE_MS
    const stoppedMs = this.#stoppedMs ?? (late ? gapMs : undefined)
    this.#lastMs = nowMs
    this.#lastBusyMs = busyMs
    this.#lastGapMs = gapMs
    this.#stoppedMs = undefined
    this.#reported = stoppedMs !== undefined
    const findings: Finding[] = []
    if (stoppedMs !== undefined) {
      const got = `it did not run for up to ${(stoppedMs / 1000).toFixed(1)} s`
      findings.push({ kind: 'agent_stopped', on: ON, expected: 'to run', got, repaired: true })
    }
    const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(this.#read('status') ?? '')?.[1] ?? 0)
    if (tracer > 0) {
      const got = `process ${tracer} traces it`
      findings.push({ kind: 'agent_traced', on: ON, expected: 'no tracer', got, repaired: false })
    }
    return findings
  }

  /** For how long the main thread has run or has waited for a CPU: the fields of Documentation/scheduler/sched-stats.rst. */
  #busyMs(): number {
    const [ran = 0, waited = 0] = (this.#read('schedstat') ?? '').split(' ').map(Number)
    return (ran + waited) / NSEC_A_MSEC
  }

  [Symbol.dispose](): void {
    process.off('SIGCONT', this.#continued)
  }
}

function readOwn(file: string): string | undefined {
  try {
    return readFileSync(`/proc/self/${file}`, 'utf8')
  } catch {
    return undefined
  }
}
