/** Filters kafkajs's log, which repeats each failure of each try at several levels: each cause is reported once per interval. */
import type { LogEntry, logCreator } from 'kafkajs'

const AGAIN_MS = 300_000
/** kafkajs warns about this for every idempotent producer without endless retries. The sending chain retries for us. */
const RETRIES_WARNING = 'Limiting retries for the idempotent producer'

/** For kafkajs's option `logCreator`: one for all that a client creates. */
export function logTo(warn: (message: string) => void, nowMs: () => number = Date.now): logCreator {
  const reported = new Set<string>()
  let untilMs = 0
  return () => (entry) => {
    if (entry.log.message.startsWith(RETRIES_WARNING)) return
    if (nowMs() >= untilMs) {
      reported.clear()
      untilMs = nowMs() + AGAIN_MS
    }
    const text = textOf(entry)
    // "Failed to connect to seed broker, …: Connection error: connect ECONNREFUSED …"
    const cause = text.slice(text.lastIndexOf(': '))
    if (reported.has(cause)) return
    reported.add(cause)
    warn(text)
  }
}

function textOf({ namespace, log }: LogEntry): string {
  const error: unknown = log['error']
  return `kafkajs ${namespace}: ${log.message}${typeof error === 'string' && error !== log.message ? `: ${error}` : ''}`
}
