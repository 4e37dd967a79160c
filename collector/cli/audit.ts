/** `ktrail audit`: proves from the numbers of the records in a sink that none is missing. */
import { Audit, auditSource, changeText, ExportError } from '../../exporters/index.ts'
import type { AuditedRun, AuditedStream } from '../../exporters/index.ts'
import { oneLine } from '../../config/yaml/quoting.ts'
import { UsageError } from './command.ts'
import type { Command } from './command.ts'
import { counted, plural, timeText } from './format.ts'

/** Ranges printed of one run; the rest is counted. */
const SHOWN = 20

export const auditCommand: Command = async (given, { env, nowMs, print, printError }) => {
  const { positionals } = given
  const since = given.text('since')
  if (positionals.length === 0) throw new UsageError('audit needs at least one FILE, kafka:// or loki:// address')
  const sinceMs = since === undefined ? undefined : Date.parse(since)
  if (Number.isNaN(sinceMs))
    throw new UsageError(`--since: expected a time such as 2026-11-24T14:00:00Z, got "${since}"`)
  const audit = new Audit()
  let [plain, unreadable, numbered] = [0, 0, 0]
  try {
    for (const address of positionals) {
      for await (const record of auditSource(address, { env, sinceMs, nowMs: nowMs() })()) {
        if (record === undefined) plain++
        else if (record === 'unreadable') unreadable++
        else {
          numbered++
          audit.add(record)
        }
      }
    }
  } catch (error) {
    if (!(error instanceof ExportError) && !(error instanceof RangeError)) throw error
    printError(`ktrail: ${error.message}`)
    return 1
  }
  const streams = audit.report({ nowMs: nowMs(), partial: given.flag('partial') || sinceMs !== undefined })
  const whole = numbered > 0 && streams.every((stream) => stream.whole)
  if (given.text('output') === 'json')
    await print(`${JSON.stringify({ whole, numbered, plain, unreadable, streams })}\n`)
  else await print(streams.map(streamText).join(''))
  if (plain > 0) printError(`ktrail: ${plural(plain, 'record')} without numbers`)
  if (unreadable > 0) printError(`ktrail: ${plural(unreadable, 'line')} cannot be read`)
  if (numbered === 0) {
    printError(
      'ktrail: no record has numbers: set envelope: true on the exporter, or read a sink of type otlp or kafka',
    )
  }
  return whole ? 0 : 1
}

function streamText(stream: AuditedStream): string {
  const { node, exporter, runs, missingRuns, unlinked, lostBefore, whole } = stream
  const records = runs.reduce((sum, run) => sum + run.records, 0)
  const notes = [
    ...runs.flatMap((run) => runNotes(run)),
    ...missingRuns.map((run) => `run ${run}: no record of it, though the next run names it`),
    ...unlinked.map((run) => `run ${run} names no run before it: runs between may be missing`),
    ...(lostBefore > 0 ? [`${plural(lostBefore, 'event')} lost before they got a number, told`] : []),
    ...changeNotes(stream),
  ]
  const verdict = whole ? 'nothing is missing untold' : 'INCOMPLETE'
  const head = `${node} ${exporter}: ${verdict}; ${plural(runs.length, 'run')}, ${plural(records, 'record')}`
  const last = runs.at(-1)
  const until = last === undefined ? '' : `, ${timeText(runs[0]?.firstMs ?? 0)} to ${timeText(last.lastMs)}`
  return [oneLine(head + until), ...notes.map((note) => `  ${oneLine(note)}`), ''].join('\n')
}

function runNotes({ run, told, untold, twice, outOfOrder, end, lastMs }: AuditedRun): string[] {
  const lines = [
    ...untold.map(({ first, last }) => `missing, not told: ${rangeText(first, last)}`),
    ...told.map(({ first, last, reason }) => `missing, told: ${rangeText(first, last)} (${reason})`),
  ]
  const shown = lines.slice(0, SHOWN)
  if (lines.length > SHOWN) shown.push(`${counted(lines.length - SHOWN)} more ranges are missing`)
  if (twice > 0) shown.push(`twice: ${plural(twice, 'record')}`)
  if (outOfOrder > 0) shown.push(`out of order: ${plural(outOfOrder, 'record')}`)
  if (end === 'open') shown.push(`no record since ${timeText(lastMs)} and none of a stop: what followed is unknown`)
  if (end === 'running') shown.push('still running')
  return shown.map((line) => `run ${run}: ${line}`)
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
