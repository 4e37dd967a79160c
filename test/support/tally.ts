/**
 * Adds up the runs of one `make test`: prints how long its runs and slowest files took, and `N passed, N failed[, N skipped]` as the last line.
 *
 *   node test/support/tally.ts FOLDER
 *
 * FOLDER holds for each run NAME: `NAME.started` (empty), and when it ended `NAME.code` (exit code); a run of
 * `node --test` also leaves `NAME.tally` (lines of tally-reporter.ts), while a plain check has none.
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

/** Reads the results of the runs in `folder`. A torn last line (a guest that crashed) is ignored. */
export function readRuns(folder: string): Run[] {
  const names = readdirSync(folder).filter((file) => file.endsWith('.started'))
  return names.toSorted().map((file) => {
    const name = file.slice(0, -'.started'.length)
    const codeFile = path.join(folder, `${name}.code`)
    const code = existsSync(codeFile) ? Number(readFileSync(codeFile, 'utf8')) : undefined
    const tallyFile = path.join(folder, `${name}.tally`)
    if (!existsSync(tallyFile)) return { name, code, lines: undefined }
    const text = readFileSync(tallyFile, 'utf8')
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    const lines = whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TallyLine)
    return { name, code, lines }
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

/** How many files the table of durations names. */
const SLOWEST = 12

/** The runs, and below them the slowest files, each with its seconds, the longest first. */
export function durations(runs: readonly Run[]): string[] {
  const row = (ms: number, text: string): string => `${(ms / 1000).toFixed(0).padStart(6)} s  ${text}`
  const byTime = runs
    .flatMap(({ name, lines = [] }) => lines.map((line) => ({ name, line })))
    .flatMap(({ name, line }) => (line.kind === 'file' || line.kind === 'summary' ? [{ name, line }] : []))
    .toSorted((a, b) => b.line.ms - a.line.ms)
  const whole = byTime.filter(({ line }) => line.kind === 'summary').map(({ name, line }) => row(line.ms, name))
  const files = byTime.flatMap(({ name, line }) =>
    line.kind === 'file' ? [row(line.ms, `${path.relative(process.cwd(), line.file)} (${name})`)] : [],
  )
  if (files.length === 0) return []
  return ['duration of the runs:', ...whole, 'slowest files:', ...files.slice(0, SLOWEST)]
}

/** The line that ends `make test`. */
export function sumLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`
}

if (import.meta.main) {
  const runs = readRuns(process.argv[2] ?? '')
  const total = sum(runs.map(tallyRun))
  const isFailure = (note: string): boolean => note.startsWith('failed')
  // The most important lines come last, where a log that was cut still has them.
  const skips = total.notes.filter((note) => !isFailure(note))
  for (const line of [...skips, ...durations(runs), ...total.notes.filter(isFailure), sumLine(total)]) console.log(line)
  process.exitCode = total.failed === 0 ? 0 : 1
}
