/** Tetragon's field filters, on encoded events: each is decoded, cut and encoded again, which costs several times the encoding. */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMessage } from '@bufbuild/protobuf'
import { reflect } from '@bufbuild/protobuf/reflect'
import type { ReflectMessage } from '@bufbuild/protobuf/reflect'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import { show } from '../../../config/yaml/problems.ts'
import { FieldFilterAction, GetEventsResponseSchema } from '../../proto/tetragon/events_pb.js'
import type { FieldFilter } from '../../proto/tetragon/events_pb.js'
import { ApiError } from '../errors.ts'
import { kindOf } from './filters.ts'

/** Field names below a message; an empty mask means everything below. */
type Mask = Map<string, Mask>

interface Rule {
  readonly kinds: ReadonlySet<string>
  readonly invert: boolean
  readonly mask: Mask
  readonly keep: boolean
}

const MAX_PATHS = 256
const EVENTS = GetEventsResponseSchema.oneofs.find(({ name }) => name === 'event')?.fields ?? []

/** Applies all `filters` in order. undefined: nothing is to be cut. Throws ApiError for unknown fields and types. */
export function fieldCutter(filters: readonly FieldFilter[]): ((response: Uint8Array) => Uint8Array) | undefined {
  if (filters.length === 0) return undefined
  const count = filters.reduce((sum, { fields }) => sum + (fields?.paths.length ?? 0), filters.length)
  if (count > MAX_PATHS) throw new ApiError('INVALID_ARGUMENT', `field_filters: expected at most ${MAX_PATHS} fields`)
  const rules = filters.map((filter, i) => ruleOf(filter, `field_filters[${i}]`))
  return (bytes) => {
    const response = fromBinary(GetEventsResponseSchema, bytes)
    const whole = reflect(GetEventsResponseSchema, response)
    const event = EVENTS.find((field) => whole.isSet(field))
    if (event?.fieldKind !== 'message') return bytes
    const applied = rules.filter((rule) => isFor(rule, event.name))
    if (applied.length === 0) return bytes
    for (const { mask, keep } of applied) cut(whole.get(event), mask, keep)
    return toBinary(GetEventsResponseSchema, response)
  }
}

function ruleOf({ eventSet, fields, action, invertEventSet }: FieldFilter, at: string): Rule {
  const kinds = eventSet.map((type) => {
    const kind = kindOf(type)
    if (kind === undefined) {
      throw new ApiError('INVALID_ARGUMENT', `${at}.event_set: unknown type of event ${type}`)
    }
    return kind
  })
  const mask: Mask = new Map()
  for (const path of fields?.paths ?? []) insert(mask, path, at)
  return { kinds: new Set(kinds), invert: invertEventSet === true, mask, keep: action === FieldFilterAction.INCLUDE }
}

/** Events as Tetragon's filters, but reports of losses stay whole unless they are named: nothing else has their number. */
function isFor({ kinds, invert }: Rule, kind: string): boolean {
  if (kind === 'rate_limit_info') return kinds.has(kind) && !invert
  return (kinds.size === 0 || kinds.has(kind)) !== invert
}

/** Paths below any of the events: `process.binary`, also in camel case. */
function insert(mask: Mask, path: string, at: string): void {
  let below: readonly DescMessage[] = EVENTS.flatMap(({ message }) => message ?? [])
  let into = mask
  const parts = path.split('.')
  for (const [i, part] of parts.entries()) {
    const all = below.flatMap(({ fields }) => fields)
    const found = all.filter(({ name, jsonName }) => name === part || jsonName === part)
    const [first] = found
    if (first === undefined) {
      const hint = didYouMean(part, [...new Set(all.map(({ name }) => name))])
      const expected = 'expected fields of an event such as "process.binary"'
      throw new ApiError('INVALID_ARGUMENT', `${at}.fields: ${expected}; ${show(path)} has no ${show(part)}${hint}`)
    }
    const known = into.get(first.name)
    // A shorter path includes everything below it.
    if (known?.size === 0) return
    const next: Mask = i === parts.length - 1 ? new Map() : (known ?? new Map())
    into.set(first.name, next)
    into = next
    below = found.flatMap(({ message }) => message ?? [])
  }
}

function cut(message: ReflectMessage, mask: Mask, keep: boolean): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue
    const below = mask.get(field.name)
    if (below === undefined ? keep : !keep && below.size === 0) message.clear(field)
    else if (below !== undefined && below.size > 0) {
      if (field.fieldKind === 'message') cut(message.get(field), below, keep)
      else if (field.fieldKind === 'list' && field.listKind === 'message') {
        for (const each of message.get(field)) cut(each as ReflectMessage, below, keep)
      }
    }
  }
}
