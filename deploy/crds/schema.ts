/**
 * The policy language as a structural OpenAPI schema (kubernetes.io: custom resource definitions): language.yaml of `config/policy/` with its tables.
 * kubectl explains the keys, and the API server refuses policies that ktrail would refuse. Rules on several keys are left to the agents.
 *
 * The API server drops keys that a schema does not have, so a policy would silently do something else. Tetragon's keys that ktrail does not support
 * are therefore part of the schema, each with a rule that refuses it.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import * as types from '../../config/policy/arguments.ts'
import { notSupported } from '../../config/policy/fields.ts'
import * as enforcers from '../../config/policy/hooks/enforcers.ts'
import * as tracepoint from '../../config/policy/hooks/tracepoint.ts'
import * as kprobe from '../../config/policy/kprobe.ts'
import * as lists from '../../config/policy/lists.ts'
import { IDENTITY_OPERATORS, OPERATORS, OPERATORS_OF } from '../../config/policy/operators.ts'
import * as options from '../../config/policy/options.ts'
import * as policy from '../../config/policy/parse.ts'
import * as selector from '../../config/policy/selector.ts'
import * as actions from '../../config/policy/selectors/actions.ts'
import { AGGREGATE_BY } from '../../config/policy/selectors/aggregate.ts'
import { CAPABILITIES } from '../../config/policy/selectors/capabilities.ts'
import * as common from '../../config/policy/selectors/common.ts'
import * as macros from '../../config/policy/selectors/macros.ts'
import * as process from '../../config/policy/selectors/process.ts'
import * as task from '../../config/policy/selectors/task.ts'
import * as workloads from '../../config/policy/selectors/workloads.ts'
import { KEYS, meantKey } from '../../config/policy/tables.ts'
import type { KeyTable } from '../../config/policy/tables.ts'
import { MAX_ARGS } from '../../config/policy/types/argument.ts'
import * as bytes from '../../config/policy/types/bytes.ts'
import { MAX_VALUES } from '../../config/policy/values.ts'

export type Schema = Readonly<Record<string, unknown>>
/** A part of language.yaml. */
interface Part extends Schema {
  readonly $ref?: string
  readonly keys?: keyof typeof KEYS
  readonly properties?: Readonly<Record<string, Schema>>
}

const PARTS: Readonly<Record<string, Part>> = parse(
  readFileSync(new URL('../../config/policy/data/language.yaml', import.meta.url), 'utf8'),
)
const ANYTHING: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
/** Tetragon's types of the keys that ktrail does not support; the others are lists of objects. Source: spec of Tetragon's policies. */
const UNSUPPORTED: Readonly<Record<string, readonly string[]>> = {
  boolean: ['loader', 'imaHash'],
  string: ['resolve', 'btfType', 'btfTypeModule', 'label', 'argUrl', 'argFqdn', 'argNewSymbol'],
  integer: ['argFd', 'argName', 'argSock', 'argIndex', 'argValue', 'argNewAddr', 'argNewOffset'],
}

const operators = Object.entries(OPERATORS_OF).flatMap(([kind, table]) =>
  table.size === 0 ? [] : [`${kind}: ${[...table.keys()].join(', ')}`],
)
const onSelectors = [selector, actions, common, macros, process, task, workloads]
const modules = [types, bytes, enforcers, tracepoint, kprobe, lists, options, policy, ...onSelectors]
/** By their names in language.yaml. */
const VALUES: Readonly<Record<string, unknown>> = {
  ...Object.fromEntries(modules.flatMap((module) => Object.entries<unknown>(module))),
  CAPABILITIES: [...CAPABILITIES, 'DAC_OVERRIDE'],
  LIST_TYPES: ['', ...lists.LIST_TYPES],
  AGGREGATE_BY,
  MAX_ARGS,
  MAX_VALUES,
  MAX_BY: AGGREGATE_BY.length,
  MAX_INDEX: MAX_ARGS - 1,
  OPERATORS_OF: operators.join('; '),
}

/** The schema of `spec`; `ours`: with ktrail's additions to Tetragon's language. */
export function specOf(ours: boolean): Schema {
  const own = ours ? IDENTITY_OPERATORS.keys() : []
  return resolved({ $ref: 'spec' }, { ...VALUES, OPERATORS: [...OPERATORS.keys(), ...own] }, ours)
}

function resolved(part: Part, values: typeof VALUES, ours: boolean): Schema {
  const { $ref, ...own } = part
  if ($ref !== undefined) return resolved(together(partNamed($ref), own), values, ours)
  const schema = own.keys === undefined ? own : mappingOf({ ...own, keys: own.keys }, ours)
  const made = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, valueOf(value, values, ours)]))
  return made['type'] === 'array' ? { ...made, 'x-kubernetes-list-type': 'atomic' } : made
}

function valueOf(value: unknown, values: typeof VALUES, ours: boolean): unknown {
  if (typeof value === 'string') {
    if (/^\$\w+$/.test(value)) return named(value.slice(1), values)
    return value.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => String(named(name, values)))
  }
  if (typeof value !== 'object' || value === null) return value
  return Array.isArray(value) ? value.map((each) => valueOf(each, values, ours)) : resolved({ ...value }, values, ours)
}

/** A bound, or the names in a list of types or the keys of a map. */
function named(name: string, values: typeof VALUES): unknown {
  const value = values[name]
  if (value === undefined) throw new Error(`config/policy/data/language.yaml: config/policy has no $${name}`)
  if (value instanceof Map) return [...value.keys()]
  return Array.isArray(value) ? value.map((each) => each.name ?? each) : value
}

function partNamed(name: string): Part {
  const part = PARTS[name]
  if (part === undefined) throw new Error(`config/policy/data/language.yaml: no part is named ${name}`)
  const { $ref, ...own } = part
  const { keys, properties = {} } = own
  if (keys !== undefined) refuseOthers(keys, Object.keys(properties), keysIn(KEYS[keys]))
  return $ref === undefined ? own : together(partNamed($ref), own)
}

/** Keys beside a $ref win; a property that both have is merged. */
function together(base: Part, { properties = {}, ...own }: Part): Part {
  if (base.properties === undefined) return { ...base, ...own }
  const both = Object.entries(properties).map(([key, property]) => [key, { ...base.properties?.[key], ...property }])
  return { ...base, ...own, properties: { ...base.properties, ...Object.fromEntries(both) } }
}

const keysIn = ({ own, ours = [] }: KeyTable): string[] => [...own, ...ours]

/** Throws for names outside of `others`. */
function refuseOthers(keys: string, names: readonly string[], others: readonly string[]): void {
  const wrong = names.filter((name) => !others.includes(name))
  if (wrong.length === 0) return
  const expected = `expected the keys of ${keys} (config/policy/data/keys.json)`
  throw new Error(`config/policy/data/language.yaml: ${expected}, got ${wrong.join(', ')}`)
}

/** A mapping with the keys of its table, in that order, and with Tetragon's keys that ktrail refuses. */
function mappingOf({ keys, properties = {}, ...others }: Part & Required<Pick<Part, 'keys'>>, ours: boolean): Schema {
  const table = KEYS[keys]
  refuseOthers(keys, keysIn(table), Object.keys(properties))
  const known = ours ? keysIn(table) : table.own
  const later = table.later ?? []
  return {
    type: 'object',
    ...others,
    properties: Object.fromEntries([
      ...known.map((key) => [key, properties[key]] as const),
      ...later.map((key) => [key, unsupported(key)] as const),
    ]),
    ...(later.length === 0 ? {} : { 'x-kubernetes-validations': later.map((key) => refusal(key, table)) }),
  }
}

export const NOT_SUPPORTED = "A key of Tetragon's that this version of ktrail does not support and refuses."

function unsupported(key: string): Schema {
  const description = NOT_SUPPORTED
  const type = Object.keys(UNSUPPORTED).find((name) => UNSUPPORTED[name]?.includes(key))
  return type === undefined
    ? { type: 'array', description, items: ANYTHING, maxItems: MAX_VALUES }
    : { type, description }
}

function refusal(key: string, table: KeyTable): object {
  const instead = meantKey(key, table)
  const hint = instead === undefined ? '' : `; ${instead}`
  return { rule: `!has(self.${key})`, message: notSupported('field', key, table.owner) + hint, fieldPath: `.${key}` }
}
