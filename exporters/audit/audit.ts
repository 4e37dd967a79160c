/**
 * Finds missing records of a sink by their numbers (docs/explanation/audit-algorithm.md describes the algorithm). Records may come in any order, and from
 * several places: files, or partitions of topics. Only the order within a place is judged.
 */
import type { LossAbout } from '../contract/described.ts'
import type { Change, NumberRange, RunEvent } from '../contract/event.ts'
import { Agreement } from './agreement.ts'
import type { Hole } from './agreement.ts'
import { countOf, NumberSet } from './number-set.ts'
import { tellGaps } from './tell.ts'
import type { ReportedGap } from './tell.ts'

/** The place of records that come in another order than that of their numbers. */
export const NO_ORDER = ''

/** The parts of a record that are read. */
export interface NumberedRecord {
  /** The place within which order is kept, or NO_ORDER. */
  readonly place: string
  readonly node: string
  readonly exporter: string
  readonly run: string
  /** Number of the event in the run. */
  readonly seq: number
  readonly number: number
  /** Milliseconds since 1970. */
  readonly timeMs: number
  readonly loss?: LossAbout | undefined
  readonly mark?: Mark | undefined
  readonly change?: ReportedChange | undefined
}

/** Contents of a record about the run. */
export interface Mark {
  readonly phase: RunEvent['phase']
  readonly heartbeatMs: number
  readonly previous: string
  /** Whether the exporter gets all events; undefined: written by an older release. */
  readonly events: 'all' | 'filtered' | undefined
  /** The exporter wrote to another sink before; records below this number may be there. */
  readonly moved: number | undefined
  /** The run has everything from `fromMs` on, and to `untilMs`, milliseconds since 1970; undefined: not known. */
  readonly fromMs: number | undefined
  readonly untilMs: number | undefined
}

/** Contents of a record about a change, as any sink may have it. */
export interface ReportedChange extends Pick<Change, 'by' | 'count'> {
  readonly what: string
  readonly names: string
  readonly mode?: string
  readonly modeBefore?: string
}

export interface AuditOptions {
  readonly nowMs: number
  /** The sink has forgotten old records: gaps before the first record of a stream do not count. */
  readonly partial: boolean
}

export interface RunReport {
  readonly run: string
  readonly records: number
  readonly firstMs: number
  readonly lastMs: number
  readonly told: readonly ReportedGap[]
  readonly untold: readonly NumberRange[]
  /** May be in the sink that the exporter wrote to before. */
  readonly elsewhere: readonly NumberRange[]
  readonly contradictions: Contradictions
  readonly twice: number
  readonly outOfOrder: number
  /** `stopped`: cleanly. `running`: the next record about the run is not yet due. `open`: the end is unknown. */
  readonly end: 'stopped' | 'running' | 'open'
  /** Time in which nothing was watched before this run, since the stop of the run before it; undefined: not known. */
  readonly unwatchedMs: number | undefined
}

/** Records that no honest agent writes, except for `overcounted`. */
export interface Contradictions {
  /** Records whose `seq` and `exporter_seq` do not go together. */
  readonly disagreeing: number
  /** Holes in `seq`, for an exporter without a filter. */
  readonly holes: readonly Hole[]
  /** Records numbered after that of the stop. */
  readonly afterStop: number
  /** Events that loss records count and that are not missing. A sink may also have taken them without its answer arriving. */
  readonly overcounted: number
}

/** The records of one exporter of a node. */
export interface StreamReport {
  readonly node: string
  readonly exporter: string
  readonly runs: readonly RunReport[]
  /** Runs that others name and that have no record. */
  readonly missingRuns: readonly string[]
  /** Runs that others name and whose records may be in the sink that the exporter wrote to before. */
  readonly runsElsewhere: readonly string[]
  /** Runs that name no previous run, although there is one: others may be missing between. */
  readonly unlinked: readonly string[]
  /** Events that were lost before they got a number, by the loss records. */
  readonly lostBefore: number
  /** Changes of policies and config, by time; of many only the first, and how many more there are. */
  readonly changes: ReadonlyArray<ReportedChange & { readonly run: string; readonly timeMs: number }>
  readonly moreChanges: number
  /** Loss records report all missing records. */
  readonly whole: boolean
  /** No records contradict each other. */
  readonly consistent: boolean
}

/** Bounds for hostile input. */
const MAX_RUNS = 100_000
/** Most changes that are listed of one run. */
const MAX_CHANGES = 100
const DEFAULT_HEARTBEAT_MS = 60_000
/** Two agents convert the same instant by clocks of their own, each of which may be off by a millisecond. A restart takes longer. */
const CLOCKS_MS = 5
/** Housekeeping and batches delay a heartbeat by some seconds. */
const LATE_MS = 30_000

class Run {
  readonly run: string
  readonly numbers = new NumberSet()
  readonly losses: LossAbout[] = []
  readonly changes: Array<StreamReport['changes'][number]> = []
  moreChanges = 0
  /** The highest number by place. */
  readonly places = new Map<string, number>()
  /** `number place` of records about the run. */
  readonly marks = new Set<string>()
  firstMs: number
  lastMs: number
  twice = 0
  outOfOrder = 0
  mark: Mark | undefined
  readonly agreement = new Agreement()
  filtered = false
  moved: number | undefined
  /** Number of the record of the stop. */
  stop: number | undefined
  fromMs: number | undefined
  untilMs: number | undefined

  constructor(run: string, timeMs: number) {
    this.run = run
    this.firstMs = timeMs
    this.lastMs = timeMs
  }
}

export class Audit {
  readonly #streams = new Map<string, { node: string; exporter: string; runs: Map<string, Run> }>()
  #runs = 0

  /** Throws RangeError for input that no agent writes: too many runs or gaps. */
  add(record: NumberedRecord): void {
    const run = this.#runOf(record)
    const { place, number, timeMs, loss, mark, change } = record
    run.agreement.add(place, number, record.seq)
    run.firstMs = Math.min(run.firstMs, timeMs)
    run.lastMs = Math.max(run.lastMs, timeMs)
    const highest = run.places.get(place) ?? -1
    run.places.set(place, Math.max(highest, number))
    // A record about the run goes to every partition once.
    const copy = mark !== undefined && !run.marks.has(`${number} ${place}`)
    if (mark !== undefined) {
      run.marks.add(`${number} ${place}`)
      run.mark = mark
      run.filtered ||= mark.events !== 'all'
      run.moved = mark.moved ?? run.moved
      run.fromMs = mark.fromMs ?? run.fromMs
      run.untilMs = mark.untilMs ?? run.untilMs
      if (mark.phase === 'stop') run.stop = Math.max(run.stop ?? 0, number)
    }
    if (!run.numbers.add(number)) {
      if (!copy) run.twice++
      return
    }
    if (number < highest && place !== NO_ORDER) run.outOfOrder++
    if (loss !== undefined) run.losses.push(loss)
    if (change === undefined) return
    if (run.changes.length < MAX_CHANGES) run.changes.push({ ...change, run: run.run, timeMs })
    else run.moreChanges++
  }

  report(options: AuditOptions): StreamReport[] {
    const streams = [...this.#streams.values()].toSorted((a, b) => compare(nameOf(a), nameOf(b)))
    return streams.map(({ node, exporter, runs }) => {
      const sorted = [...runs.values()].toSorted((a, b) => compare(a.run, b.run))
      return { node, exporter, ...reportOf(exporter, sorted, options) }
    })
  }

  #runOf({ node, exporter, run: id, timeMs }: NumberedRecord): Run {
    const key = nameOf({ node, exporter })
    let stream = this.#streams.get(key)
    if (stream === undefined) this.#streams.set(key, (stream = { node, exporter, runs: new Map() }))
    let run = stream.runs.get(id)
    if (run === undefined) {
      if (++this.#runs > MAX_RUNS) throw new RangeError(`expected at most ${MAX_RUNS} runs`)
      run = new Run(id, timeMs)
      stream.runs.set(id, run)
    }
    return run
  }
}

function reportOf(
  exporter: string,
  runs: readonly Run[],
  { nowMs, partial }: AuditOptions,
): Omit<StreamReport, 'node' | 'exporter'> {
  const gaps = runs.map(({ numbers, moved }, i) => cutAt(numbers.gaps(partial && i === 0 ? numbers.first : 0), moved))
  const told = tellGaps(
    gaps.map(({ rest }) => rest),
    runs.map(({ losses }) => losses.filter((loss) => loss.stage === 'exporter' && loss.exporter === exporter)),
  )
  const reports = runs.map((run, i): RunReport => {
    const { told: explained, untold, overcounted } = told[i] ?? { told: [], untold: [], overcounted: 0 }
    const { run: id, numbers, agreement, filtered, mark, firstMs, lastMs, twice, outOfOrder } = run
    const end = endOf(run, i === runs.length - 1, nowMs)
    const elsewhere = gaps[i]?.below ?? []
    // Lost records may be among those that this sink has forgotten or never had.
    const knowsAll = !partial && runs.slice(0, i + 1).every(({ moved }) => moved === undefined)
    const contradictions = {
      disagreeing: agreement.disagreeing,
      holes: mark === undefined || filtered ? [] : agreement.holes,
      afterStop: run.stop === undefined ? 0 : numbers.countAbove(run.stop),
      overcounted: knowsAll ? overcounted : 0,
    }
    const missing = { told: explained, untold, elsewhere }
    const unwatchedMs = unwatchedBefore(run, runs)
    const counts = { records: numbers.size, twice, outOfOrder, contradictions }
    return { run: id, firstMs, lastMs, ...missing, ...counts, end, unwatchedMs }
  })
  const known = new Set(runs.map(({ run }) => run))
  const linked = runs.slice(partial ? 1 : 0).filter(({ mark }) => mark !== undefined)
  const named = linked
    .map(({ mark, moved }) => ({ run: mark?.previous ?? '', moved }))
    .filter(({ run }) => run !== '' && !known.has(run))
  const namesOf = (moved: boolean): string[] => [
    ...new Set(named.filter((each) => (each.moved !== undefined) === moved).map(({ run }) => run)),
  ]
  const [missingRuns, runsElsewhere] = [namesOf(false), namesOf(true)]
  const unlinked = linked.filter(({ run, mark }) => mark?.previous === '' && run !== runs[0]?.run).map(({ run }) => run)
  const lostBefore = runs
    .flatMap(({ losses }) => losses)
    .reduce((sum, { stage, count }) => sum + (stage === 'kernel' ? count : 0), 0)
  const whole =
    missingRuns.length === 0 &&
    unlinked.length === 0 &&
    reports.every(({ untold, end }) => countOf(untold) === 0 && end !== 'open')
  const changes = runs.flatMap((run) => run.changes).toSorted((a, b) => a.timeMs - b.timeMs)
  const moreChanges = runs.reduce((sum, run) => sum + run.moreChanges, 0)
  const consistent = reports.every(({ contradictions: { disagreeing, holes, afterStop, overcounted } }) => {
    return disagreeing + holes.length + afterStop + overcounted === 0
  })
  const findings = { missingRuns, runsElsewhere, unlinked, lostBefore, changes, moreChanges }
  return { runs: reports, ...findings, whole, consistent }
}

function unwatchedBefore({ mark, fromMs }: Run, runs: readonly Run[]): number | undefined {
  const untilMs = runs.find(({ run }) => run === mark?.previous)?.untilMs
  if (fromMs === undefined || untilMs === undefined) return undefined
  return fromMs - untilMs <= CLOCKS_MS ? 0 : fromMs - untilMs
}

/** The numbers below `at`, and the others. */
function cutAt(ranges: readonly NumberRange[], at = 0): { below: NumberRange[]; rest: NumberRange[] } {
  const below = ranges.flatMap(({ first, last }) => (first < at ? [{ first, last: Math.min(last, at - 1) }] : []))
  const rest = ranges.flatMap(({ first, last }) => (last >= at ? [{ first: Math.max(first, at), last }] : []))
  return { below, rest }
}

function endOf({ stop, mark, lastMs }: Run, latest: boolean, nowMs: number): RunReport['end'] {
  if (stop !== undefined) return 'stopped'
  const dueMs = lastMs + (mark?.heartbeatMs ?? DEFAULT_HEARTBEAT_MS) + LATE_MS
  return latest && nowMs <= dueMs ? 'running' : 'open'
}

function nameOf({ node, exporter }: { readonly node: string; readonly exporter: string }): string {
  return `${node}\0${exporter}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
