/** What the agent's log says of a spool: that the start had to mend it, and what of its work fails. */
import { systemClock } from '../../exporters/index.ts'
import type {
  Clock,
  SenderDeps,
  SpoolRecovery,
  SpoolVanished,
  SpoolWork,
  ReportSpoolFailure,
} from '../../exporters/index.ts'
import type { Log } from '../telemetry/log.ts'

/** A disk that fails and works in turn is told of no more often than this. */
const QUIET_MS = 60_000
/** Files named one by one. */
const NAMED = 3

const FAILS: Readonly<Record<SpoolWork, string>> = {
  read: 'the spool can not be read, and will be tried again; its events wait',
  write: 'the spool can not be written, and will be tried again; events wait in memory while there is room',
  sync: 'what was spooled is not safe from a power cut, and will be tried again',
  cursor:
    'how far the sink has taken the spool can not be stored, and will be tried again; a restart now would send it once more',
}
const WORKS: Readonly<Record<SpoolWork, string>> = {
  read: 'the spool is read again',
  write: 'the spool is written again',
  sync: 'what was spooled is safe again',
  cursor: 'how far the sink has taken the spool is stored again',
}

/** Says that the start has mended a spool, in one sentence; nothing of one that was whole. */
export function logRecovery(exporter: string, report: SpoolRecovery, log: Log): void {
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
  if (found.length > 0) log.warn({ exporter }, `the spool was damaged, and is mended: ${found.join('; ')}`)
}

/** Reports that somebody took the folder of a spool, or files in it, from under the agent. */
export function logVanished(exporter: string, { rescued, lost }: SpoolVanished, log: Log): void {
  log.error(
    { exporter, rescued, lost },
    `the spool folder or files in it were removed, moved or replaced while the agent runs: ${rescued} events were only in open ` +
      `files and are written again, ${lost} events can no longer be read and count as corrupt; find out who did that, and read a ` +
      'folder that was moved with ktrail spool replay',
  )
}

/** Says that something of a spool's work begins to fail, why, and that it works again. */
export function spoolFailureLog(
  exporter: string,
  log: Log,
  clock: Pick<Clock, 'nowMs'> = systemClock,
): ReportSpoolFailure {
  const reportedMs = new Map<SpoolWork, number>()
  const reported = new Set<SpoolWork>()
  return (work, error) => {
    if (error === '') {
      if (reported.delete(work)) log.info({ exporter }, WORKS[work])
      return
    }
    const nowMs = clock.nowMs()
    if (nowMs - (reportedMs.get(work) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return
    reportedMs.set(work, nowMs)
    reported.add(work)
    log.warn({ exporter }, `${FAILS[work]}: ${error}`)
  }
}

/** Says that a spool is full or does not answer, and that it takes events again. What the disk refuses is `spoolFailureLog`'s. */
export function spoolFullLog(
  exporter: string,
  log: Log,
  clock: Pick<Clock, 'nowMs'> = systemClock,
): NonNullable<SenderDeps['onSpoolFailure']> {
  let reportedMs = Number.NEGATIVE_INFINITY
  let reported = false
  return (error) => {
    if (error === '') {
      if (reported) log.info({ exporter }, 'the spool takes events again')
      reported = false
    } else if (clock.nowMs() - reportedMs >= QUIET_MS) {
      log.warn({ exporter }, error)
      reportedMs = clock.nowMs()
      reported = true
    }
  }
}
