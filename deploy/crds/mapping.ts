/** Parts of the schema: a table of keys as a mapping, with what Tetragon knows and ktrail refuses. */
import { notSupported } from '../../config/policy/fields.ts'
import { MAX_ARGS } from '../../config/policy/types/argument.ts'
import { meantKey } from '../../config/policy/tables.ts'
import type { KeyTable } from '../../config/policy/tables.ts'
import { MAX_VALUES } from '../../config/policy/values.ts'

export interface Schema {
  /** Absent: anything. */
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly description?: string
  readonly [key: string]: unknown
}

const ANYTHING: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
export const MAX_INDEX: number = MAX_ARGS - 1

/** Tetragon's types of the keys that ktrail does not support; the others are lists of objects. Source: spec of Tetragon's policies. */
const OTHERS: Readonly<Record<string, NonNullable<Schema['type']>>> = {
  loader: 'boolean',
  resolve: 'string',
  btfType: 'string',
  btfTypeModule: 'string',
  label: 'string',
  argFd: 'integer',
  argName: 'integer',
  argUrl: 'string',
  argFqdn: 'string',
  argSock: 'integer',
  argIndex: 'integer',
  argValue: 'integer',
  argRegs: 'array',
  argNewSymbol: 'string',
  argNewAddr: 'integer',
  argNewOffset: 'integer',
  imaHash: 'boolean',
}

export const anything = (description: string): Schema => ({ description, 'x-kubernetes-preserve-unknown-fields': true })
export const list = (items: Schema, description: string, maxItems: number, minItems = 0): Schema => ({
  type: 'array',
  description,
  items,
  maxItems,
  ...(minItems === 0 ? {} : { minItems }),
  'x-kubernetes-list-type': 'atomic',
})
export const text = (description: string, rest: object = {}): Schema => ({ type: 'string', description, ...rest })
export const flag = (description: string, value: boolean): Schema => ({ type: 'boolean', description, default: value })
export const index = (description: string, maximum = MAX_INDEX): Schema => ({
  type: 'integer',
  description,
  minimum: 0,
  maximum,
})
export const oneOf = (names: Iterable<string>, description: string): Schema => text(description, { enum: [...names] })
export const named = (types: ReadonlyArray<{ readonly name: string }>): string[] => types.map(({ name }) => name)

/**
 * A mapping with the keys of a table; `ours`: with ktrail's additions to Tetragon's. Throws for a key of the table that `own` does not describe,
 * or the other way round.
 */
export function mapping(
  table: KeyTable,
  description: string,
  own: Record<string, Schema>,
  required: string[],
  ours = false,
): Schema {
  const keys = [...table.own, ...(ours ? (table.ours ?? []) : [])]
  const missing = keys.filter((key) => own[key] === undefined)
  const more = Object.keys(own).filter((key) => !keys.includes(key))
  if (missing.length + more.length > 0) {
    const wrong = [...missing, ...more].join(', ')
    throw new Error(
      `deploy/crds/schema.ts: expected the keys of ${table.name} (config/policy/tables.ts), got other ones: ${wrong}`,
    )
  }
  const later = table.later ?? []
  return {
    type: 'object',
    description,
    properties: { ...own, ...Object.fromEntries(later.map((key) => [key, unsupported(key)])) },
    ...(required.length === 0 ? {} : { required }),
    ...(later.length === 0 ? {} : { 'x-kubernetes-validations': later.map((key) => refusal(key, table)) }),
  }
}

function unsupported(key: string): Schema {
  const type = OTHERS[key] ?? 'array'
  const description = "A key of Tetragon's that this version of ktrail does not support and refuses."
  if (type === 'object') return { ...ANYTHING, description }
  return type === 'array' ? list(ANYTHING, description, MAX_VALUES) : { type, description }
}

function refusal(key: string, table: KeyTable): object {
  const instead = meantKey(key, table)
  const hint = instead === undefined ? '' : `; ${instead}`
  return { rule: `!has(self.${key})`, message: notSupported('field', key, table.owner) + hint, fieldPath: `.${key}` }
}
