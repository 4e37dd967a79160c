/** Logs failures and recoveries of an exporter's sink or spool, and the repairs of a start. */
import { plural } from '../config/base/counts.ts'
import type { Vanished } from './buffer/disk/presence.ts'
import type { RecoveryReport } from './buffer/disk/recovery.ts'
import type { ReportFailure, Work } from './buffer/disk/tally.ts'
import type { Log } from './sinks/context.ts'
import { systemClock } from '../config/base/time/clock.ts'
import type { Clock } from '../config/base/time/clock.ts'
import type { SenderDeps } from './sending/sender.ts'

/** Minimum time between two reports of the same problem. */
const QUIET_MS = 60_000
/** Maximum number of files listed by name. */
const NAMED = 3

const FAILS: Readonly<Record<Work, string>> = {
  read: 'cannot read the spool, retrying; its events wait',
  write: 'cannot write the spool, retrying; events wait in memory while there is space',
  sync: 'cannot sync the spool, retrying; a power cut now would lose events',
  cursor: 'cannot store the position in the spool, retrying; after a restart now, events would be sent again',
}
const WORKS: Readonly<Record<Work, string>> = {
  read: 'the spool can be read again',
  write: 'the spool can be written again',
  sync: 'the spool can be synced again',
  cursor: 'the position in the spool can be stored again',
}

type Time = Pick<Clock, 'nowMs'>

/** Limits the reports of one recurring problem. */
class Problem {
  readonly #clock: Time
  #reportedMs = Number.NEGATIVE_INFINITY
  #reported = false

  constructor(clock: Time) {
    this.#clock = clock
  }

  /** Whether to report the problem now. */
  begins(urgent = false): boolean {
    const nowMs = this.#clock.nowMs()
    if (!urgent && nowMs - this.#reportedMs < QUIET_MS) return false
    this.#reportedMs = nowMs
    this.#reported = true
    return true
  }

  /** Whether to report the end: only if the begin was reported. */
  ends(): boolean {
    const reported = this.#reported
    this.#reported = false
    return reported
  }
}

/** Reports when a sink stops accepting events and when it accepts them again. */
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
      if (problem.ends()) log.info({ exporter, seconds }, 'the sink accepts events again')
      sinceMs = undefined
      return
    }
    sinceMs ??= nowMs
    if (!problem.begins(failure !== 'retrying')) return
    if (failure === 'failed') log.error({ exporter }, `the exporter has failed permanently: ${error}`)
    else if (failure === 'hold')
      log.error({ exporter }, `events are held until this is repaired; SIGHUP retries at once: ${error}`)
    else log.warn({ exporter }, `cannot send events, retrying: ${error}`)
  }
}

/** Reports when an operation of a spool begins to fail and when it works again. */
export function spoolReport(exporter: string, log: Log, clock: Time = systemClock): ReportFailure {
  const report = (work: Work): FailureReport =>
    failureReport(exporter, log, clock, (error) => `${FAILS[work]}: ${error}`, WORKS[work])
  const reports = { read: report('read'), write: report('write'), sync: report('sync'), cursor: report('cursor') }
  return (work, error) => reports[work](error)
}

/** Reports a spool that is full or hangs, and when it accepts events again. `spoolReport` reports disk errors. */
export function fullSpoolReport(exporter: string, log: Log, clock: Time = systemClock): FailureReport {
  return failureReport(exporter, log, clock, (error) => error, 'the spool accepts events again')
}

/** `error`: '' when the failure is over. */
type FailureReport = (error: string) => void

function failureReport(
  exporter: string,
  log: Log,
  clock: Time,
  fails: (error: string) => string,
  works: string,
): FailureReport {
  const problem = new Problem(clock)
  return (error) => {
    if (error !== '') {
      if (problem.begins()) log.warn({ exporter }, fails(error))
    } else if (problem.ends()) log.info({ exporter }, works)
  }
}

/** Reports the start's repairs of a spool in one sentence; nothing for an intact spool. */
export function reportRecovery(exporter: string, report: RecoveryReport, log: Log): void {
  const { quarantined, removed, tornBytes, cursor, segments } = report
  const found: string[] = []
  if (quarantined.length > 0) {
    const more = quarantined.length > NAMED ? ` and ${quarantined.length - NAMED} more` : ''
    found.push(`moved to quarantine/: ${quarantined.slice(0, NAMED).join(', ')}${more}`)
  }
  if (removed.length > 0) found.push(`deleted from quarantine/ to make room: ${plural(removed.length, 'older file')}`)
  if (tornBytes > 0) found.push(`cut off: ${tornBytes} bytes of an interrupted write`)
  if (cursor === 'corrupt') found.push('cursor: unreadable, so all events here are sent, maybe again')
  if (cursor === 'absent' && segments > 0) found.push('cursor: missing, so events that are not here count as corrupt')
  if (found.length > 0) log.warn({ exporter }, `the spool was damaged and is repaired: ${found.join('; ')}`)
}

/** Reports a spool folder, or files in it, removed while the agent runs. */
export function reportVanished(exporter: string, { rescued, lost }: Vanished, log: Log): void {
  log.error(
    { exporter, rescued, lost },
    `the spool folder or files in it were removed, moved or replaced while the agent runs: ${rescued} events were only in open ` +
      `files and are written again, ${lost} events can no longer be read and count as corrupt; find the cause, and read a ` +
      'moved folder with ktrail spool replay',
  )
}
