/** The result of a bench: numbers for machines, tables for people. report.ts combines them. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release } from 'node:os'

/** The median of rounds. */
export interface Rounds {
  readonly value: number
  /** Distance between the least and the largest value, in percent of the median. A single round has none. */
  readonly spread?: number
}

/** A number with its target, if it has one. A missed target is shown and is no failure: machines differ. */
export interface Measure extends Rounds {
  readonly name: string
  readonly unit: string
  readonly atMost?: number
  readonly atLeast?: number
}

export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<readonly string[]>
  /** Notes for readers: source of external figures, left-out parts and the reason. */
  readonly notes: readonly string[]
}

export interface Result {
  readonly bench: string
  readonly machine: string
  readonly kernel: string
  readonly node: string
  readonly commit: string
  readonly at: string
  /** Load average of the last minute, this bench included: much above 1 means that other processes took processor time. */
  readonly load?: number
  readonly measures: readonly Measure[]
  readonly tables: readonly Table[]
}

/** KTRAIL_BENCH_QUICK=1: fewer and shorter rounds, for a quick check or for CI; the numbers are less exact. */
export const QUICK: boolean = process.env['KTRAIL_BENCH_QUICK'] === '1'

/** Whether the guest's clock counts instructions: a nanosecond is one (--counted of test/support/guest/run.sh). */
export const COUNTED: boolean = process.env['KTRAIL_BENCH_CLOCK'] === '--counted'

/** The exit code of a skipped test, as in automake. */
const LEFT_OUT = 77

/** Prints the result as one line of JSON, which run.sh keeps as build/bench/NAME.json. */
export function printResult(bench: string, measures: readonly Measure[], tables: readonly Table[]): void {
  const result: Result = {
    bench,
    machine: process.env['KTRAIL_BENCH_MACHINE'] ?? machine(),
    kernel: release(),
    node: process.version,
    commit: process.env['KTRAIL_BENCH_COMMIT'] ?? commit(),
    at: new Date().toISOString(),
    load: loadavg()[0] ?? 0,
    measures,
    tables,
  }
  console.log(JSON.stringify(result))
}

/** Ends a bench that cannot run on this machine; run.sh then continues without it. */
export function leaveOut(why: string): never {
  console.error(`left out: ${why}`)
  process.exit(LEFT_OUT)
}

/** `2 × AMD EPYC`; in a guest run.sh gives the host. */
function machine(): string {
  const list = cpus()
  return `${list.length} × ${list[0]?.model.trim() ?? 'unknown processor'}`
}

/** Short commit, with `+` if the tree differs from it. */
function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+')
  } catch {
    return 'unknown'
  }
}

/** Middle value; the lower one of two. NaN for none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >>> 1] ?? Number.NaN
}

export function rounds(values: readonly number[]): Rounds {
  const value = median(values)
  if (values.length < 2) return { value }
  return { value, spread: (100 * (Math.max(...values) - Math.min(...values))) / Math.abs(value) }
}

/** The spread, for a table. */
export const shownSpread = ({ spread }: Rounds): string => (spread === undefined ? '' : `${show(spread)} %`)

/** `1,234`, or with digits after the point. */
export function show(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
