/** Reads the numbers of a record from the envelope of a JSON line, Kafka headers or OTLP attributes. */
import { isMapping } from '../../config/base/parsed.ts'
import type { LossAbout } from '../contract/described.ts'
import type { NumberRange } from '../contract/event.ts'
import type { Mark, NumberedRecord, ReportedChange } from './audit.ts'

/** The fields as texts, by the names of the envelope in docs/explanation/audit-algorithm.md, such as `loss.count`. */
export type Fields = (name: string) => string | undefined

/** For hostile input. */
const MOST_CHANGE_TEXT = 2000

const SEQ = /^([0-9a-z]{1,64})-(\d{1,15})$/
const EXPORTER_SEQ = /^([a-z0-9][a-z0-9_-]{0,62})-(\d{1,15})$/

/** The numbers; undefined for a record without, or with others than an agent writes. */
export function numbersOf(
  fields: Fields,
  where: { readonly place: string; readonly node: string; readonly timeMs: number },
): NumberedRecord | undefined {
  const [, run, seq] = SEQ.exec(fields('seq') ?? '') ?? []
  const [, exporter, number] = EXPORTER_SEQ.exec(fields('exporter_seq') ?? '') ?? []
  if (run === undefined || exporter === undefined) return undefined
  return {
    ...where,
    run,
    seq: Number(seq),
    exporter,
    number: Number(number),
    loss: lossOf(fields),
    mark: markOf(fields),
    change: changeOf(fields),
  }
}

/** A record with an envelope; undefined for one without. Throws SyntaxError for text that is not JSON. */
export function readLine(line: string, place: string): NumberedRecord | undefined {
  const record = objectOf(JSON.parse(line))
  const envelope = objectOf(record?.['ktrail'])
  if (record === undefined || envelope === undefined) return undefined
  const fields: Fields = (name) => {
    const [key = '', inner] = name.split('.')
    const from = key === 'change' ? record['agent_change'] : envelope[key]
    const value = inner === undefined ? from : objectOf(from)?.[inner]
    if (Array.isArray(value)) return value.map(textOf).join(', ')
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
  }
  return numbersOf(fields, { place, node: textOf(record['node_name']), timeMs: instantOf(textOf(record['time'])) ?? 0 })
}

function lossOf(fields: Fields): LossAbout | undefined {
  const stage = fields('loss.stage')
  if (stage !== 'kernel' && stage !== 'exporter') return undefined
  const [first, last] = [countIn(fields, 'loss.first'), countIn(fields, 'loss.last')]
  const numbers: NumberRange | undefined = first === undefined || last === undefined ? undefined : { first, last }
  const [exporter, reason] = [fields('loss.exporter') ?? '', fields('loss.reason') ?? '']
  return { stage, exporter, reason, count: countIn(fields, 'loss.count') ?? 0, ...(numbers && { numbers }) }
}

function markOf(fields: Fields): Mark | undefined {
  const phase = fields('run.phase')
  if (phase !== 'start' && phase !== 'heartbeat' && phase !== 'stop') return undefined
  const events = fields('run.events')
  return {
    phase,
    heartbeatMs: countIn(fields, 'run.heartbeat_ms') ?? 0,
    previous: fields('run.previous') ?? '',
    events: events === 'all' || events === 'filtered' ? events : undefined,
    moved: countIn(fields, 'run.moved'),
    fromMs: instantOf(fields('run.from')),
    untilMs: instantOf(fields('run.until')),
  }
}

function changeOf(fields: Fields): ReportedChange | undefined {
  const what = fields('change.what')
  if (what === undefined) return undefined
  const text = (name: string): string => (fields(`change.${name}`) ?? '').slice(0, MOST_CHANGE_TEXT)
  const [mode, modeBefore] = [text('mode'), text('mode_before')]
  return {
    what: what.slice(0, MOST_CHANGE_TEXT),
    by: text('by'),
    names: text('names'),
    count: countIn(fields, 'change.count') ?? 1,
    ...(mode === '' ? {} : { mode }),
    ...(modeBefore === '' ? {} : { modeBefore }),
  }
}

function countIn(fields: Fields, name: string): number | undefined {
  const text = fields(name)
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function instantOf(text = ''): number | undefined {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return isMapping(value) ? value : undefined
}
