/** What the agent's log says of an exporter: that its sink or its spool fails and works again, and what a start had to repair. */
import type { Vanished } from './buffer/disk/presence.ts'
import type { RecoveryReport } from './buffer/disk/recovery.ts'
import type { ReportFailure, Work } from './buffer/disk/tally.ts'
import type { Log } from './context.ts'
import { systemClock } from './runtime/clock.ts'
import type { Clock } from './runtime/clock.ts'
import type { SenderDeps } from './sending/sender.ts'

/** What fails and works in turn is reported no more often than this. */
const QUIET_MS = 60_000
/** Files named one by one. */
const NAMED = 3

const FAILS: Readonly<Record<Work, string>> = {
  read: 'the spool can not be read, and will be tried again; its events wait',
  write: 'the spool can not be written, and will be tried again; events wait in memory while there is room',
  sync: 'what was spooled is not safe from a power cut, and will be tried again',
  cursor:
    'how far the sink has taken the spool can not be stored, and will be tried again; a restart now would send it once more',
}
const WORKS: Readonly<Record<Work, string>> = {
  read: 'the spool is read again',
  write: 'the spool is written again',
  sync: 'what was spooled is safe again',
  cursor: 'how far the sink has taken the spool is stored again',
}

type Time = Pick<Clock, 'nowMs'>

/** One problem that comes and goes. */
class Problem {
  readonly #clock: Time
  #reportedMs = Number.NEGATIVE_INFINITY
  #reported = false

  constructor(clock: Time) {
    this.#clock = clock
  }

  /** Whether to report it now. */
  begins(urgent = false): boolean {
    const nowMs = this.#clock.nowMs()
    if (!urgent && nowMs - this.#reportedMs < QUIET_MS) return false
    this.#reportedMs = nowMs
    this.#reported = true
    return true
  }

  /** Whether to report that it is over: where its beginning was reported. */
  ends(): boolean {
    const reported = this.#reported
    this.#reported = false
    return reported
  }
}

/** A sink that does not take what it gets, and that takes it again. */
export function sinkReport(
  exporter: string,
  log: Log,
  clock: Time = systemClock,
): NonNullable<SenderDeps['onFailure']> {
  const problem = new Problem(clock)
  let sinceMs: number | undefined
  return (failure, error) => {
    const nowMs = clock.nowMs()
    if (failure === 'none') {
      const seconds = Math.round((nowMs - (sinceMs ?? nowMs)) / 1000)
      if (problem.ends()) log.info({ exporter, seconds }, 'the sink takes events again')
      sinceMs = undefined
      return
    }
    sinceMs ??= nowMs
    if (!problem.begins(failure !== 'retrying')) return
    if (failure === 'failed') log.error({ exporter }, `the exporter has failed for good: ${error}`)
    else if (failure === 'hold')
      log.error({ exporter }, `events are held until this is repaired, then tried again (SIGHUP: at once): ${error}`)
    else log.warn({ exporter }, `events are not taken and will be tried again: ${error}`)
  }
}

/** Work of a spool that begins to fail, why, and that works again. */
export function spoolReport(exporter: string, log: Log, clock: Time = systemClock): ReportFailure {
  const problem = (): Problem => new Problem(clock)
  const problems: Readonly<Record<Work, Problem>> = {
    read: problem(),
    write: problem(),
    sync: problem(),
    cursor: problem(),
  }
  return (work, error) => {
    if (error !== '') {
      if (problems[work].begins()) log.warn({ exporter }, `${FAILS[work]}: ${error}`)
    } else if (problems[work].ends()) log.info({ exporter }, WORKS[work])
  }
}

/** A spool that is full or does not answer, and that takes events again. What the disk refuses is `spoolReport`'s. */
export function fullSpoolReport(
  exporter: string,
  log: Log,
  clock: Time = systemClock,
): NonNullable<SenderDeps['onSpoolFailure']> {
  const problem = new Problem(clock)
  return (error) => {
    if (error !== '') {
      if (problem.begins()) log.warn({ exporter }, error)
    } else if (problem.ends()) log.info({ exporter }, 'the spool takes events again')
  }
}

/** What the start has repaired of a spool, in one sentence; nothing of one that was whole. */
export function reportRecovery(exporter: string, report: RecoveryReport, log: Log): void {
  const { quarantined, removed, tornBytes, cursor, segments } = report
  const found: string[] = []
  if (quarantined.length > 0) {
    const more = quarantined.length > NAMED ? ` and ${quarantined.length - NAMED} more` : ''
    found.push(`moved to quarantine/: ${quarantined.slice(0, NAMED).join(', ')}${more}`)
  }
  if (removed.length > 0) found.push(`deleted there to make room: ${removed.length} of before`)
  if (tornBytes > 0) found.push(`cut off: ${tornBytes} bytes of a write that was interrupted`)
  if (cursor === 'corrupt') found.push('cursor: unreadable, so all that is here is sent, also what was sent already')
  if (cursor === 'absent' && segments > 0) found.push('cursor: missing, so what is not here counts as corrupt')
  if (found.length > 0) log.warn({ exporter }, `the spool was damaged and is repaired: ${found.join('; ')}`)
}

/** Somebody took the folder of a spool, or files in it, from under the agent. */
export function reportVanished(exporter: string, { rescued, lost }: Vanished, log: Log): void {
  log.error(
    { exporter, rescued, lost },
    `the spool folder or files in it were removed, moved or replaced while the agent runs: ${rescued} events were only in open ` +
      `files and are written again, ${lost} events can no longer be read and count as corrupt; find out who did that, and read a ` +
      'folder that was moved with ktrail spool replay',
  )
}
