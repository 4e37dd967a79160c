/** The agent's own log: pino on standard error, so that standard output stays pure data. */
import type { Writable } from 'node:stream'
import { isatty } from 'node:tty'
import { pino } from 'pino'
import type { Logger } from 'pino'
import { oneLine, printable } from '../../config/yaml/quoting.ts'
import { terminal } from '../../exporters/index.ts'

export type Log = Logger

export interface LogOptions {
  readonly level: string
  /** `text`: one short line for a terminal. */
  readonly format: 'json' | 'text'
}

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}

/**
 * `ktrail: info: policy added policy=file-monitoring`: always one line, also when values contain line breaks, so that nothing can forge a
 * log line. pino's process fields are left out.
 */
function textLine(json: string): string {
  const { level, msg, time: _time, pid: _pid, hostname: _host, ...rest } = JSON.parse(json) as Record<string, unknown>
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? printable(value) : oneLine(JSON.stringify(value))}`,
  )
  return `ktrail: ${LEVELS[Number(level)] ?? level}: ${oneLine(String(msg))}${fields.join('')}\n`
}

/** Bound of buffered log lines, for a reader that does not read: a terminal after Ctrl-S, a full pipe. */
const MOST_WAITING_BYTES = 1 << 20

/**
 * Writes synchronously as far as standard error accepts it, so that a line that explains the end of the process is not lost. The rest is
 * buffered and blocks nothing. Lines beyond the bound are dropped, and their number is logged.
 */
export function createLog({ level, format }: LogOptions, stream: Writable = standardError()): Log {
  // An unhandled error would end the process; the agent continues without a log reader.
  stream.on('error', () => {})
  const put = (json: string): boolean => stream.write(format === 'json' ? json : textLine(json))
  let lines = 0
  const write = (json: string): void => {
    if (stream.writableLength > MOST_WAITING_BYTES) {
      lines++
      return
    }
    const msg = 'lines of the log were left out: standard error did not take them'
    if (lines > 0) put(`${JSON.stringify({ level: 40, time: Date.now(), lines, msg })}\n`)
    lines = 0
    put(json)
  }
  return pino({ level, base: null }, { write })
}

function standardError(): Writable {
  return (isatty(2) ? terminal(2) : undefined) ?? process.stderr
}
