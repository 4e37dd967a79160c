/** Files of tracefs: events of tracepoints, and functions that ftrace can trace. */
import { readFile } from 'node:fs/promises'
import { readOr } from '../host/read.ts'
import { TRACEFS, parseFormat } from '../plan/tracepoints/format.ts'
import type { FormatField } from '../plan/tracepoints/format.ts'

/** `file` below tracefs; undefined if it is not there or not mounted. */
function readTracefs(file: string): string | undefined {
  for (const root of TRACEFS) {
    const text = readOr(`${root}/${file}`)
    if (text !== undefined) return text
  }
  return undefined
}

/** `name`: `subsystem:event`. */
export function formatOf(name: string, read = readTracefs): readonly FormatField[] | undefined {
  const text = read(`events/${name.replace(':', '/')}/format`)
  return text === undefined ? undefined : parseFormat(text)
}

/** Every `subsystem:event`; empty if tracefs does not show it. */
export function eventNames(read = readTracefs): readonly string[] {
  return (read('available_events') ?? '').split('\n').filter((line) => line !== '')
}

/** The functions that ftrace can trace, one a line; undefined if it does not show them. */
export async function readFtrace(): Promise<string | undefined> {
  for (const root of TRACEFS) {
    try {
      return await readFile(`${root}/available_filter_functions`, 'utf8')
    } catch {
      continue
    }
  }
  return undefined
}
