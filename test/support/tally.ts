/**
 * Adds up the runs of one `make test`: prints the time and CPU time of its runs and most expensive files, and `N passed, N failed[, N skipped]` as the
 * last line.
 *
 *   node test/support/tally.ts FOLDER
 *
 * FOLDER holds for each run NAME: `NAME.started` (empty), and when it ended `NAME.code` (exit code) and `NAME.times` (CPU time, by `times` of bash); a
 * run of `node --test` also leaves `NAME.tally` (lines of tally-reporter.ts), while a plain check has none. `NAME.cpu` (lines of preload.js) has the CPU
 * time of each file; runs in guests have none.
 * A run that did not finish is one failure: missing output never counts as success. Exits with 1 if anything failed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { TallyLine } from './tally-reporter.ts'

export interface Tally {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Printed above the sum: skipped tests with their reasons, failures. */
  readonly notes: readonly string[]
}

export interface Run {
  readonly name: string
  /** undefined: the run never ended. */
  readonly code: number | undefined
  /** undefined: a plain check, passed or failed as a whole. */
  readonly lines: readonly TallyLine[] | undefined
  /** CPU time of the run and the programs that it started, guests included. undefined: not known. */
  readonly cpuMs?: number | undefined
  /** CPU time of each file. */
  readonly cpuMsOfFiles?: ReadonlyMap<string, number>
}

function at(file: string): string {
  return file === '' ? '' : ` (${path.relative(process.cwd(), file)})`
}

/** Tally of one run. */
export function tallyRun({ name, code, lines }: Run): Tally {
  if (lines === undefined) {
    if (code === 0) return { passed: 1, failed: 0, skipped: 0, notes: [] }
    const how = code === undefined ? 'did not finish' : `exit ${code}`
    return { passed: 0, failed: 1, skipped: 0, notes: [`failed: ${name} (${how})`] }
  }
  const notes: string[] = []
  let passed = 0
  let failed = 0
  let skipped = 0
  let whole = false
  for (const line of lines) {
    switch (line.kind) {
      case 'skipped':
        notes.push(`skipped: ${name}: ${line.name}${at(line.file)}: ${line.reason}`)
        break
      case 'failed':
        notes.push(`failed: ${name}: ${line.name}${at(line.file)}: ${line.why}`)
        break
      case 'summary':
        whole = true
        passed += line.passed
        failed += line.failed
        skipped += line.skipped
    }
  }
  if (!whole) {
    // No summary, so no counts: only the lines so far are known.
    const cause = code === undefined ? 'did not finish' : `ended with exit ${code} before its summary`
    notes.push(`failed: ${name}: ${cause}`)
    failed += 1
  } else if (code !== 0 && failed === 0) {
    notes.push(`failed: ${name}: every test passed, but the run ended with exit ${code ?? 'unknown'}`)
    failed += 1
  } else if (passed + failed + skipped === 0) {
    notes.push(`failed: ${name}: not one test ran`)
    failed += 1
  }
  return { passed, failed, skipped, notes }
}

/** Lines of JSON in a file; none if it does not exist. A torn last line (a guest that crashed) is ignored. */
function jsonLines<T>(file: string): T[] {
  if (!existsSync(file)) return []
  const text = readFileSync(file, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return whole.filter((line) => line !== '').map((line) => JSON.parse(line) as T)
}

/** User and system time of the shell and of its children: `times` of bash prints four values such as `1m2.345s`. */
export function cpuMsOf(times: string): number {
  const values = [...times.matchAll(/(\d+)m([\d.]+)s/g)]
  return values.reduce((ms, [, minutes, seconds]) => ms + Number(minutes) * 60_000 + Number(seconds) * 1000, 0)
}

/** Reads the results of the runs in `folder`. */
export function readRuns(folder: string): Run[] {
  const names = readdirSync(folder).filter((file) => file.endsWith('.started'))
  return names.toSorted().map((started) => {
    const name = started.slice(0, -'.started'.length)
    const codeFile = path.join(folder, `${name}.code`)
    const code = existsSync(codeFile) ? Number(readFileSync(codeFile, 'utf8')) : undefined
    const timesFile = path.join(folder, `${name}.times`)
    const cpuMs = existsSync(timesFile) ? cpuMsOf(readFileSync(timesFile, 'utf8')) : undefined
    const tallyFile = path.join(folder, `${name}.tally`)
    const lines = existsSync(tallyFile) ? jsonLines<TallyLine>(tallyFile) : undefined
    const files = jsonLines<{ file: string; ms: number }>(path.join(folder, `${name}.cpu`))
    return { name, code, lines, cpuMs, cpuMsOfFiles: new Map(files.map(({ file, ms }) => [file, ms])) }
  })
}

/** Sum of all runs. No run at all is a failure. */
export function sum(tallies: readonly Tally[]): Tally {
  if (tallies.length === 0) return { passed: 0, failed: 1, skipped: 0, notes: ['failed: no run was started'] }
  return {
    passed: tallies.reduce((n, tally) => n + tally.passed, 0),
    failed: tallies.reduce((n, tally) => n + tally.failed, 0),
    skipped: tallies.reduce((n, tally) => n + tally.skipped, 0),
    notes: tallies.flatMap((tally) => tally.notes),
  }
}

/** Number of files in the table of durations. */
const MOST_EXPENSIVE = 20

interface Row {
  readonly ms?: number | undefined
  readonly cpuMs?: number | undefined
  readonly text: string
}

/** Rows by CPU time, the largest first. A file in a guest has a duration only: its guest is busy as long as it runs. */
function table(rows: readonly Row[]): string[] {
  const column = (ms: number | undefined): string => (ms === undefined ? '-' : (ms / 1000).toFixed(0)).padStart(6)
  const cost = ({ ms = 0, cpuMs = ms }: Row): number => cpuMs
  return rows
    .toSorted((a, b) => cost(b) - cost(a))
    .map(({ ms, cpuMs, text }) => `${column(ms)} s ${column(cpuMs)} s CPU  ${text}`)
}

/** The runs, and below them the most expensive files, each with its seconds and CPU seconds. */
export function durations(runs: readonly Run[]): string[] {
  const whole = runs.map(({ name, lines = [], cpuMs }): Row => {
    const ms = lines.find((line) => line.kind === 'summary')?.ms
    return { ms, cpuMs, text: name }
  })
  const files = runs.flatMap(({ name, lines = [], cpuMsOfFiles }) =>
    lines.flatMap((line): Row[] => {
      if (line.kind !== 'file') return []
      return [
        {
          ms: line.ms,
          cpuMs: cpuMsOfFiles?.get(line.file),
          text: `${path.relative(process.cwd(), line.file)} (${name})`,
        },
      ]
    }),
  )
  const cpuMs = runs.reduce((ms, run) => ms + (run.cpuMs ?? 0), 0)
  return [
    'duration of the runs:',
    ...table(whole),
    ...table([{ cpuMs, text: 'all of them' }]),
    ...(files.length === 0 ? [] : ['most expensive files:', ...table(files).slice(0, MOST_EXPENSIVE)]),
  ]
}

/** The line that ends `make test`. */
export function sumLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`
}

if (import.meta.main) {
  const runs = readRuns(process.argv[2] ?? '')
  const total = sum(runs.map(tallyRun))
  const isFailure = (note: string): boolean => note.startsWith('failed')
  // The most important lines come last, because a cut log still has them.
  const skips = total.notes.filter((note) => !isFailure(note))
  for (const line of [...skips, ...durations(runs), ...total.notes.filter(isFailure), sumLine(total)]) console.log(line)
  process.exitCode = total.failed === 0 ? 0 : 1
}
