/** The agent's own log: pino on standard error, so that standard output stays pure data. */
import { fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { isatty } from 'node:tty'
import { pino } from 'pino'
import type { Logger } from 'pino'
import { oneLine, printable } from '../../config/base/quoting.ts'
import { terminal } from '../../exporters/index.ts'

export type Log = Logger

export interface LogOptions {
  readonly level: string
  /** `text`: one short line for a terminal. `auto`: text if standard error is one. */
  readonly format: 'auto' | 'json' | 'text'
}

/** sd-daemon(3): the journal takes a line's priority from its beginning, and removes it. */
const PRIORITIES: Readonly<Record<number, string>> = {
  10: '<7>',
  20: '<7>',
  30: '<6>',
  40: '<4>',
  50: '<3>',
  60: '<2>',
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
  return `ktrail: ${pino.levels.labels[Number(level)] ?? level}: ${oneLine(String(msg))}${fields.join('')}\n`
}

/** pino writes the level first. */
const LEVEL = /^\{"level":(\d+)/

/** Bound of buffered log lines if their reader does not read: a terminal after Ctrl-S, a full pipe. */
const MOST_WAITING_BYTES = 1 << 20

const ignore = (): void => {}

/**
 * Writes synchronously as far as standard error accepts it, so that a line that explains the end of the process is not lost. The rest is
 * buffered and blocks nothing. Lines beyond the bound are dropped, and their number is logged.
 */
export function createLog(
  { level, format }: LogOptions,
  stream: Writable = standardError(),
  journal: boolean = isJournal(process.env['JOURNAL_STREAM']),
  isTerminal: boolean = isatty(2),
): Log {
  // An unhandled error would end the process; the agent continues without a log reader.
  stream.off('error', ignore).on('error', ignore)
  const isText = format === 'text' || (format === 'auto' && isTerminal)
  const put = (json: string): boolean => {
    const priority = journal ? (PRIORITIES[Number(LEVEL.exec(json)?.[1])] ?? '') : ''
    return stream.write(priority + (isText ? textLine(json) : json))
  }
  let lines = 0
  const write = (json: string): void => {
    if (stream.writableLength > MOST_WAITING_BYTES) {
      lines++
      return
    }
    const msg = 'lines of the log were dropped, because standard error did not accept them'
    if (lines > 0) put(`${JSON.stringify({ level: 40, time: Date.now(), lines, msg })}\n`)
    lines = 0
    put(json)
  }
  return pino({ level, base: null }, { write })
}

/** `stream`: device and inode of the journal's socket, which is standard error only if it was not redirected: systemd.exec(5). */
export function isJournal(
  stream: string | undefined,
  stat: () => { dev: number; ino: number } = () => fstatSync(2),
): boolean {
  if (stream === undefined) return false
  const { dev, ino } = stat()
  return stream === `${dev}:${ino}`
}

function standardError(): Writable {
  return (isatty(2) ? terminal(2) : undefined) ?? process.stderr
}
