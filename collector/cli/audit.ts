/** `ktrail audit`: proves from the numbers of the records in a sink that none is missing. */
import { Audit, auditSource, changeText, ExportError } from '../../exporters/index.ts'
import type { AuditedRun, AuditedStream } from '../../exporters/index.ts'
import { oneLine } from '../../config/base/quoting.ts'
import { UsageError } from './command.ts'
import type { Command } from './command.ts'
import { timeOf } from './table/time.ts'
import { plural } from '../../config/base/counts.ts'
import { formatDuration } from '../../config/base/units.ts'
import { dataText, folded, timeText } from './format.ts'

/** Ranges printed of one run; the rest is counted. */
const SHOWN = 20

export const auditCommand: Command = async (given, { env, nowMs, print, printError, columns }) => {
  const { positionals } = given
  if (positionals.length === 0) throw new UsageError('audit requires at least one FILE, kafka:// or loki:// address')
  const sinceMs = timeOf(given, 'since', nowMs())
  const audit = new Audit()
  let [plain, unreadable, numbered] = [0, 0, 0]
  const problems: string[] = []
  for (const address of positionals) {
    try {
      for await (const record of auditSource(address, { env, sinceMs, nowMs: nowMs() })()) {
        if (record === undefined) plain++
        else if (record === 'unreadable') unreadable++
        else {
          numbered++
          audit.add(record)
        }
      }
    } catch (error) {
      if (!(error instanceof ExportError) && !(error instanceof RangeError)) throw error
      // A damaged file hides nothing that the others show.
      problems.push(error.message)
    }
  }
  let streams: readonly AuditedStream[] = []
  try {
    streams = audit.report({ nowMs: nowMs(), partial: given.flag('partial') || sinceMs !== undefined })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    problems.push(error.message)
  }
  const whole = numbered > 0 && problems.length === 0 && streams.every((stream) => stream.whole && stream.consistent)
  const data = await dataText(given.text('format'), { whole, numbered, plain, unreadable, problems, streams })
  await print(data ?? folded(streams.map(streamText).join(''), columns))
  for (const problem of problems) printError(`ktrail: ${problem}`)
  if (plain > 0) printError(`ktrail: ${plural(plain, 'record')} without numbers`)
  if (unreadable > 0) printError(`ktrail: ${plural(unreadable, 'record')} cannot be read`)
  if (numbered === 0 && problems.length === 0) {
    printError(
      'ktrail: no record has numbers: set envelope: true on the exporter, or read a sink of type otlp or kafka',
    )
  }
  return whole ? 0 : 1
}

function streamText(stream: AuditedStream): string {
  const { node, exporter, runs, missingRuns, runsElsewhere, unlinked, lostBefore, whole, consistent } = stream
  const records = runs.reduce((sum, run) => sum + run.records, 0)
  const notes = [
    ...runs.flatMap((run) => runNotes(run)),
    ...missingRuns.map((run) => `run ${run}: all records missing, although the next run refers to it`),
    ...runsElsewhere.map((run) => `run ${run}: its records are at the earlier destination of the exporter`),
    ...unlinked.map((run) => `run ${run} refers to no earlier run: runs between may be missing`),
    ...(lostBefore > 0 ? [`${plural(lostBefore, 'event')} lost before they got a number, reported`] : []),
    ...changeNotes(stream),
  ]
  const complete = consistent ? 'no unreported loss' : 'CONTRADICTORY'
  const verdict = whole ? complete : 'INCOMPLETE'
  const head = `${node} ${exporter}: ${verdict}; ${plural(runs.length, 'run')}, ${plural(records, 'record')}`
  const last = runs.at(-1)
  const until = last === undefined ? '' : `, ${timeText(runs[0]?.firstMs ?? 0)} to ${timeText(last.lastMs)}`
  return [oneLine(head + until), ...notes.map((note) => `  ${oneLine(note)}`), ''].join('\n')
}

function runNotes(audited: AuditedRun): string[] {
  const { run, told, untold, elsewhere, twice, outOfOrder, end, lastMs, unwatchedMs } = audited
  const lines = [
    ...contradictionNotes(audited),
    ...untold.map(({ first, last }) => `missing, not reported: ${rangeText(first, last)}`),
    ...elsewhere.map(({ first, last }) => `at the earlier destination of the exporter: ${rangeText(first, last)}`),
    ...told.map(({ first, last, reason }) => `missing, reported: ${rangeText(first, last)} (${reason})`),
  ]
  const shown = lines.slice(0, SHOWN)
  if (lines.length > SHOWN) shown.push(`${plural(lines.length - SHOWN, 'more finding')}: see -o json`)
  if (unwatchedMs === 0) shown.push('took over from the run before: all the time was watched')
  if (unwatchedMs) shown.push(`nothing was watched for ${formatDuration(unwatchedMs)} before it`)
  if (twice > 0) shown.push(`twice: ${plural(twice, 'record')}`)
  if (outOfOrder > 0) shown.push(`out of order: ${plural(outOfOrder, 'record')}`)
  if (end === 'open') shown.push(`no record since ${timeText(lastMs)}, and no stop: later events are unknown`)
  if (end === 'running') shown.push('still running')
  return shown.map((line) => `run ${run}: ${line}`)
}

function contradictionNotes({ contradictions }: AuditedRun): string[] {
  const { disagreeing, holes, afterStop, overcounted } = contradictions
  const notes = holes.map(({ before, events }) => {
    const gap = 'although exporter_seq has no gap there and the exporter has no filter'
    return `${plural(events, 'number')} of seq without a record before number ${before}, ${gap}`
  })
  if (disagreeing > 0) notes.push(`seq and exporter_seq disagree: ${plural(disagreeing, 'record')}`)
  if (afterStop > 0) notes.push(`numbered after the stop of the run: ${plural(afterStop, 'record')}`)
  if (overcounted > 0) {
    const why = 'the sink accepted them and its answer was lost, or the count was changed'
    notes.push(`counted as lost but not missing: ${plural(overcounted, 'event')}: ${why}`)
  }
  return notes
}

function changeNotes({ changes, moreChanges }: AuditedStream): string[] {
  const shown = changes.slice(-SHOWN)
  const more = moreChanges + changes.length - shown.length
  const notes = shown.map(
    (change) => `${timeText(change.timeMs)} ${changeText({ ...change, names: change.names.split(', ') })}`,
  )
  return more === 0 ? notes : [`${plural(more, 'other record')} of changes: see -o json`, ...notes]
}

function rangeText(first: number, last: number): string {
  return first === last ? `number ${first}` : `numbers ${first} to ${last}`
}
