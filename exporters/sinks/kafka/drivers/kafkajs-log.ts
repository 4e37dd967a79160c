/** What kafkajs logs, for people: it says each failure of each try at several levels; here each cause is said once in a while. */
import type { LogEntry, logCreator } from 'kafkajs'

const AGAIN_MS = 300_000
/** Said of every idempotent producer with less than endless retries. Ours are behind it. */
const RETRIES_WARNING = 'Limiting retries for the idempotent producer'

/** For kafkajs's option `logCreator`: one for all clients of a driver. */
export function logTo(warn: (message: string) => void, nowMs: () => number = Date.now): logCreator {
  const said = new Set<string>()
  let untilMs = 0
  return () => (entry) => {
    if (entry.log.message.startsWith(RETRIES_WARNING)) return
    if (nowMs() >= untilMs) {
      said.clear()
      untilMs = nowMs() + AGAIN_MS
    }
    const text = textOf(entry)
    // "Failed to connect to seed broker, …: Connection error: connect ECONNREFUSED …"
    const cause = text.slice(text.lastIndexOf(': '))
    if (said.has(cause)) return
    said.add(cause)
    warn(text)
  }
}

function textOf({ namespace, log }: LogEntry): string {
  const error: unknown = log['error']
  return `kafkajs ${namespace}: ${log.message}${typeof error === 'string' && error !== log.message ? `: ${error}` : ''}`
}
