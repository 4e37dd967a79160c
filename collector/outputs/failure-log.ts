import { systemClock } from '../../exporters/index.ts'
import type { Clock, SenderDeps } from '../../exporters/index.ts'
import type { Log } from '../telemetry/log.ts'

/** A sink that fails and works in turn, batch by batch, is told of no more often than this. */
const QUIET_MS = 60_000

/** Says in the agent's log that a sink does not take what it gets, why, and that it does again. */
export function failureLog(
  exporter: string,
  log: Log,
  clock: Pick<Clock, 'nowMs'> = systemClock,
): NonNullable<SenderDeps['onFailure']> {
  let reportedMs = Number.NEGATIVE_INFINITY
  let sinceMs: number | undefined
  let reported = false
  return (failure, error) => {
    const nowMs = clock.nowMs()
    if (failure === 'none') {
      const seconds = Math.round((nowMs - (sinceMs ?? nowMs)) / 1000)
      if (reported) log.info({ exporter, seconds }, 'the sink takes events again')
      sinceMs = undefined
      reported = false
      return
    }
    sinceMs ??= nowMs
    if (failure === 'failed') log.error({ exporter }, `the exporter has failed for good: ${error}`)
    else if (failure === 'hold') {
      log.error({ exporter }, `events are held until somebody mends this, then tried again (SIGHUP: at once): ${error}`)
    } else if (nowMs - reportedMs >= QUIET_MS)
      log.warn({ exporter }, `events are not taken and will be tried again: ${error}`)
    else return
    reportedMs = nowMs
    reported = true
  }
}
