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
  /** `text`: one short line for a person. */
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
 * `ktrail: info: policy added policy=file-monitoring`: one line, whatever messages and values of others hold, so that none can
 * look like another. What pino knows of the process is left out.
 */
function textLine(json: string): string {
  const { level, msg, time: _time, pid: _pid, hostname: _host, ...rest } = JSON.parse(json) as Record<string, unknown>
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? printable(value) : oneLine(JSON.stringify(value))}`,
  )
  return `ktrail: ${LEVELS[Number(level)] ?? level}: ${oneLine(String(msg))}${fields.join('')}\n`
}

/** Most of the log that waits where nobody takes it: a terminal after Ctrl-S, a pipe that is not read. */
const MOST_WAITING_BYTES = 1 << 20

/**
 * Writes at once what standard error takes at once: a line that explains the end of the process must not be lost with it. What it
 * does not take waits and keeps nobody; what is too much is left out, and it is said how much that was.
 */
export function createLog({ level, format }: LogOptions, stream: Writable = standardError()): Log {
  // Unheard, it would end the process: the reader has gone, and the agent goes on without.
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
