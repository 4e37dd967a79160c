/** The agent's own log: pino on standard error, so that standard output stays pure data. */
import { pino } from 'pino'
import type { Logger } from 'pino'

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

/** `  info  policy loaded policy=file-monitoring`; what pino knows of the process is left out. */
function textLine(json: string): string {
  const { level, msg, time: _time, pid: _pid, hostname: _host, ...rest } = JSON.parse(json) as Record<string, unknown>
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return `ktrail: ${LEVELS[Number(level)] ?? level}: ${String(msg)}${fields.join('')}\n`
}

/**
 * Writes synchronously: a line that explains the end of the process must not be lost with it. A reader that has gone away is
 * no reason to end: pino's own stream hears of that, where process.stderr would throw at nobody.
 */
export function createLog({ level, format }: LogOptions): Log {
  const stderr = pino.destination({ dest: 2, sync: true })
  const stream = format === 'json' ? stderr : { write: (line: string) => void stderr.write(textLine(line)) }
  return pino({ level, base: null }, stream)
}
