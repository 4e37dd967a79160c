/**
 * Tetragon's field filters on JSON lines. Each line is parsed, cut and printed again, which costs several times the encoding.
 */
import { parseFieldPaths } from '../../config/agent/filtering/record-fields.ts'
import type { FieldFilterConfig } from '../../config/agent/schema.ts'
import { isMapping } from '../../config/base/parsed.ts'
import { ExportError } from '../contract/errors.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { Memory, endOf, ofLines } from '../contract/encoded.ts'

type Json = { [key: string]: unknown }

/** Names below a message; an empty mask means everything below. */
type Mask = Map<string, Mask>

interface Rule {
  readonly events: ReadonlySet<string> | undefined
  readonly invert: boolean
  readonly mask: Mask
  readonly keep: boolean
}

/**
 * Wraps an encoder of JSON lines: applies all `filters` in order to each record. Throws ExportError UNUSABLE for filters that
 * the config would refuse.
 */
export function withFields(encoder: Encoder, filters: readonly FieldFilterConfig[]): Encoder {
  const rules = filters.map(ruleOf)
  return {
    encoding: encoder.encoding,
    encode(events): Encoded {
      const whole = encoder.encode(events)
      const text = Buffer.from(whole.bytes.buffer, whole.bytes.byteOffset, whole.bytes.length)
      const lines = Array.from(whole.ends, (end, i) =>
        Buffer.from(cut(text.toString('utf8', endOf(whole, i), end), rules)),
      )
      const { bytes, ends } = ofLines(whole.encoding, lines)
      return { ...whole, bytes, ends, memory: new Memory(bytes) }
    },
  }
}

/** Tests whether all `filters` keep a field completely in records of a kind. Throws like `withFields`. */
export function fieldTest(filters: readonly FieldFilterConfig[]): (kind: string, field: readonly string[]) => boolean {
  const rules = filters.map(ruleOf)
  return (kind, field) => rules.every((rule) => !isFor(rule, kind) || leaves(rule, field))
}

function ruleOf({ event_set: events, invert_event_set: invert, fields, action }: FieldFilterConfig): Rule {
  const paths = parseFieldPaths(fields)
  if (typeof paths === 'string') throw new ExportError('UNUSABLE', `fields: ${paths}`)
  const mask: Mask = new Map()
  // Shorter paths first: the path of a message includes everything below it.
  for (const path of paths.toSorted((a, b) => a.length - b.length)) insert(mask, path)
  const set = events === undefined ? undefined : new Set(events.map((event) => event.toLowerCase()))
  return { events: set, invert, mask, keep: action === 'INCLUDE' }
}

function insert(mask: Mask, path: readonly string[]): void {
  let at = mask
  for (const name of path) {
    const known = at.get(name)
    if (known?.size === 0) return
    const next: Mask = known ?? new Map()
    at.set(name, next)
    at = next
  }
}

/** A loss record is only cut by a filter that names it, because no other field has its count; a record about a change never. */
function isFor({ events, invert }: Rule, kind: string): boolean {
  if (kind === 'agent_change') return false
  if (kind === 'rate_limit_info') return events?.has(kind) === true && !invert
  return events?.has(kind) !== invert
}

function leaves({ mask, keep }: Rule, field: readonly string[]): boolean {
  let at = mask
  for (const name of field) {
    const below = at.get(name)
    if (below === undefined) return !keep
    if (below.size === 0) return keep
    at = below
  }
  return false
}

function cut(line: string, rules: readonly Rule[]): string {
  const record: unknown = JSON.parse(line)
  // The first key is the event's kind. Filters only apply below it.
  const [kind] = isMapping(record) ? Object.keys(record) : []
  if (!isMapping(record) || kind === undefined) return line
  let touched = false
  for (const rule of rules) {
    const message = record[kind]
    if (!isFor(rule, kind) || !isMapping(message)) continue
    record[kind] = masked(message, rule.mask, rule.keep)
    touched = true
  }
  return touched ? `${JSON.stringify(record)}\n` : line
}

/** The message with the fields of the mask; without `keep`, with all others. */
function masked(message: Json, mask: Mask, keep: boolean): Json {
  const result: Json = {}
  for (const [key, value] of Object.entries(message)) {
    const below = mask.get(key)
    const leave = below === undefined ? !keep : keep
    if (below !== undefined && below.size > 0) result[key] = mapped(value, (each) => masked(each, below, keep))
    else if (leave) result[key] = value
  }
  return result
}

/** Changes a message, or each message of a list. */
function mapped(value: unknown, change: (message: Json) => Json): unknown {
  if (Array.isArray(value)) return value.map((each: unknown) => (isMapping(each) ? change(each) : each))
  return isMapping(value) ? change(value) : value
}
