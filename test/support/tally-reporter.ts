/**
 * A reporter for `node --test`: one JSON line for each result, for tally.ts. The last line is the summary of the whole run,
 * which distinguishes an interrupted run from one that passed.
 */
import type { TestEvent } from 'node:test/reporters'

/** One line of the reporter's output. */
export type TallyLine =
  | { readonly kind: 'skipped'; readonly name: string; readonly file: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly name: string; readonly file: string; readonly why: string }
  | { readonly kind: 'file'; readonly file: string; readonly ms: number }
  | {
      readonly kind: 'summary'
      readonly passed: number
      readonly failed: number
      readonly skipped: number
      readonly ms: number
    }

/** Turns one event of the runner into a line, or into nothing. `stderr`: the last output of each file. */
function tallyLine(event: TestEvent, stderr: ReadonlyMap<string, string>): TallyLine | undefined {
  switch (event.type) {
    case 'test:pass': {
      const { name, file = '', skip, todo } = event.data
      const mark = skip ?? todo
      if (mark === undefined || mark === false) return undefined
      return { kind: 'skipped', name, file, reason: typeof mark === 'string' ? mark : 'no reason given' }
    }
    case 'test:fail': {
      const { name, file = '', todo, details } = event.data
      // A suite fails because of a test that is listed itself; a failing todo does not count as a failure.
      if (details.type === 'suite' || (todo !== undefined && todo !== false)) return undefined
      return { kind: 'failed', name, file, why: whyOf(details.error, stderr.get(file)) }
    }
    case 'test:summary': {
      // One per file, and at the end one without a file for all.
      const { file, duration_ms: ms } = event.data
      if (file !== undefined) return { kind: 'file', file, ms }
      // The rest failed or was cancelled; the documented counts have no field for failures.
      const { tests, passed, skipped, todo } = event.data.counts
      return { kind: 'summary', passed, failed: tests - passed - skipped - todo, skipped: skipped + todo, ms }
    }
    default:
      return undefined
  }
}

/** The part of a failure that goes into a log: the difference of a comparison is below its first line. */
const WHY_CHARS = 600
/** A crash of Node writes a stack below its sentence. */
const STDERR_CHARS = 2000

function whyOf(error: Error, stderr: string | undefined): string {
  // A file without a failed test: node:test says `test failed` and how its process ended.
  if ('signal' in error && 'exitCode' in error) {
    const how = typeof error.signal === 'string' ? error.signal : `exit ${String(error.exitCode)}`
    return `its process ended with ${how}; the last of its stderr: ${stderr?.trim() ?? 'nothing'}`
  }
  const { message } = error.cause instanceof Error ? error.cause : error
  return message.length <= WHY_CHARS ? message : `${message.slice(0, WHY_CHARS)} …`
}

/** The reporter itself, in the form of node:test. */
export default async function* tallyReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const stderr = new Map<string, string>()
  for await (const event of source) {
    if (event.type === 'test:stderr') {
      const { file = '', message } = event.data
      stderr.set(file, `${stderr.get(file) ?? ''}${message}`.slice(-STDERR_CHARS))
    }
    const line = tallyLine(event, stderr)
    if (line !== undefined) yield `${JSON.stringify(line)}\n`
  }
}
