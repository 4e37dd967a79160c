/**
 * Writes one `struct hook` (bpf/frame/hook.h): the constants that specialize the program of a function, and the map entries of all policies on it.
 */
import type { ArgumentSpec, HookSpec, Selector } from '../../../config/policy/policy.ts'
import { TYPES } from '../../../config/policy/arguments.ts'
import { readsAtReturn } from '../../../config/policy/types/bytes.ts'
import {
  ARG_TYPES,
  EVENT_HEADER,
  FILES_MAX,
  FILE_DETAILS,
  FILE_SCREEN,
  FROM_REGISTERS,
  FROM_SYSCALL,
  HOOK,
  NO_ARG,
  PARAMS_MAX,
  PARAM_BY_HELPER,
  PARAM_LOADED,
  RECORD_AT,
  RECORD_BYTES,
  SCRATCH_BYTES,
  SELECTOR,
  SELECTORS_MAX,
  SET_WORDS,
  STACK_KERNEL,
  STACK_USER,
  TEXT_ROOM,
  VALUE,
  VALUES_MAX,
  VALUE_ROOM,
  VALUE_TEXTS_MAX,
  VALUE_TYPE_SHIFT,
  WANTED_VALUE,
} from '../../wire/wire.ts'
import { denies } from '../../../config/policy/selectors/actions.ts'
import { readsRegisters } from '../functions/registers.ts'
import { NO_FIELD, fieldBytes, isField } from '../tracepoints/fields.ts'
import type { EventField } from '../tracepoints/fields.ts'
import type { AttachMethod } from '../plan.ts'
import { writeNumbers } from './numbers.ts'
import { screenedPath, writePath } from './screened-path.ts'
import {
  NO_FACTS,
  bitsOf,
  earlyFilters,
  filesAsked,
  identityFiltersOf,
  identityFiltersOn,
  isText,
  sameValue,
  selectorBytes,
} from './selector.ts'
import type { HostFacts, PolicyHook, Row, Value } from './selector.ts'
import type { Tables } from './tables.ts'

/** A hook without selectors takes every call. */
const EVERYTHING: Selector = { matchArgs: [] }

const rowsOf = (hooks: readonly PolicyHook[]): Row[] =>
  hooks.flatMap((hook) => selectorsOf(hook.spec).map((selector, index): Row => ({ hook, index, selector })))

const rowsOfSpecs = (specs: readonly HookSpec[]): Row[] => rowsOf(specs.map((spec) => ({ id: 0, spec })))

const selectorsOf = ({ selectors }: HookSpec): readonly Selector[] => (selectors.length > 0 ? selectors : [EVERYTHING])

/** Number of this value in records (`struct value` in bpf/event.h). */
export function valueIndex({ index, type, places }: Pick<ArgumentSpec, 'index' | 'type' | 'places'>): number {
  return numberOf({ param: index, read: type.read, places })
}

const numberOf = (value: Value): number => indexOf(value) | ((value.places?.number ?? 0) << PLACES_SHIFT)

/** Bit at which a value's number has that of its places. */
const PLACES_SHIFT = 8

const indexOf = ({ param, read }: Value): number => param | (ARG_TYPES[read] << VALUE_TYPE_SHIFT)

/** The hooks of one function that one program can serve. */
export class Together {
  readonly #specs: HookSpec[] = []
  #values: ReadonlyMap<number, Value> = new Map()
  #selectors = 0
  #asksOfFiles = false

  /** False, and nothing changes, if the program has no room for this one too. */
  add(spec: HookSpec): boolean {
    const selectors = this.#selectors + Math.max(1, spec.selectors.length)
    const files = this.#asksOfFiles || asksOfFiles({ spec })
    const values = new Map(this.#values)
    addValues(spec, values)
    const texts = [...values.values()].filter(isText).length
    if (selectors > SELECTORS_MAX || values.size > VALUES_MAX || texts > VALUE_TEXTS_MAX) return false
    if (files && filesAsked([...values.values()], rowsOfSpecs([...this.#specs, spec])).length > FILES_MAX) return false
    this.#specs.push(spec)
    this.#values = values
    this.#selectors = selectors
    this.#asksOfFiles = files
    return true
  }
}

/** Whether a hook filters by file identity. */
export const asksOfFiles = ({ spec }: Pick<PolicyHook, 'spec'>): boolean => identityFiltersOf(spec).length > 0

const FILE_TYPES: ReadonlySet<Value['read']> = new Set(
  TYPES.filter(({ kind }) => kind === 'file').map(({ read }) => read),
)

/** Values whose file details the hook reports. */
const detailsOf = ({ args, fileDetails }: HookSpec): number[] =>
  fileDetails === undefined ? [] : args.filter(({ type }) => FILE_TYPES.has(type.read)).map(valueIndex)

/** Whether a hook may have a path on which the screen searches for values. */
export const searchesPaths = ({ selectors }: HookSpec): boolean =>
  selectors.some(({ matchArgs }) => matchArgs.some(({ operator }) => operator.startsWith('SubString')))

/** Whether records of a function have a file that the screen does not walk. */
export function writesOtherPaths(specs: readonly HookSpec[]): boolean {
  const values = valuesOf(specs)
  const files = values.filter(({ read }) => FILE_TYPES.has(read)).length
  return files > 1 || (files === 1 && screenedPath(values, rowsOfSpecs(specs)) === undefined)
}

const NUMBERS: ReadonlySet<Value['read']> = new Set(
  TYPES.filter(({ kind }) => kind === 'number' || kind === 'wide').map(({ read }) => read),
)
/** `struct value` and its number. */
const NUMBER_BYTES = VALUE.bytes + 8

/** Bytes of a record, within which its last text begins. */
interface RecordRoom {
  readonly texts: number
  readonly bytes: number
}

/** Room for the records of a function: a text is as long as it can be. */
export function recordRoom(specs: readonly HookSpec[]): RecordRoom {
  const values = valuesOf(specs)
  const larger =
    values.some(({ places, more }) => places !== undefined || more === true) ||
    specs.some(({ selectors }) => selectors.some(({ stacks }) => stacks !== undefined))
  if (larger) return { texts: RECORD_BYTES, bytes: SCRATCH_BYTES - RECORD_AT }
  const numbers = NUMBER_BYTES * values.filter(({ read }) => NUMBERS.has(read)).length
  const others = values.filter(({ read }) => !NUMBERS.has(read)).length
  // At least one, because the code for a text is verified in any case.
  const texts = EVENT_HEADER.bytes + numbers + TEXT_ROOM * Math.max(0, others - 1)
  // Behind them, the return value and the hash of an aggregate.
  return { texts, bytes: texts + TEXT_ROOM + numbers + 2 * NUMBER_BYTES + VALUE_ROOM }
}

/** All values that the hooks read, each once. */
function valuesOf(specs: readonly HookSpec[]): Value[] {
  const values = new Map<number, Value>()
  for (const spec of specs) addValues(spec, values)
  return [...values.values()]
}

function addValues({ args }: HookSpec, values: Map<number, Value>): void {
  for (const arg of args) {
    if (arg.type.kind === 'none') continue
    const index = valueIndex(arg)
    const { index: param, places, size, maxData = false } = arg
    const known = values.get(index) ?? { param, read: arg.type.read, places, size }
    values.set(index, maxData ? { ...known, more: true } : known)
  }
}

/**
 * The struct's bytes. Adds the map entries of the hooks to `tables`. `id`: of the function, kept when its policies change. The specs are
 * valid (config/) and fit together. Throws Error for a namespace that the host does not have.
 */
export function hookBytes(
  id: number,
  hooks: readonly PolicyHook[],
  tables: Tables,
  known: HostFacts = NO_FACTS,
  { fields = [], plain = 0 }: Pick<AttachMethod, 'fields' | 'plain'> = {},
): Buffer {
  const specs = hooks.map(({ spec }) => spec)
  const rows = rowsOf(hooks)
  const wanted = valuesOf(specs)
  const screened = screenedPath(wanted, rows)
  // bpf/args/values.h is_screened
  const values = screened === undefined ? wanted : [screened.value, ...wanted.filter((it) => it !== screened.value)]
  const bytes = Buffer.alloc(HOOK.bytes)
  bytes.writeUInt32LE(id, HOOK.id)
  const syscall = specs.some((spec) => spec.syscall)
  bytes[HOOK.from] = (syscall ? FROM_SYSCALL : 0) | (specs.some(readsRegisters) ? FROM_REGISTERS : 0)
  for (const param of paramsRead(syscall, fields, values))
    bytes[HOOK.params + param] = plain & (1 << param) ? PARAM_LOADED : PARAM_BY_HELPER
  bytes[HOOK.nvalues] = values.length
  const detailed = new Set(specs.flatMap(detailsOf))
  /** First entries in the map `places`, by value. */
  const placesAt = new Map<Value, number>()
  values.forEach((value, i) => {
    const at = HOOK.values + i * WANTED_VALUE.bytes
    bytes[at + WANTED_VALUE.param] = value.param
    bytes[at + WANTED_VALUE.type] = ARG_TYPES[value.read]
    bytes[at + WANTED_VALUE.index] = indexOf(value)
    const { places, size, more = false } = value
    bytes[at + WANTED_VALUE.more] = more ? 1 : 0
    bytes[at + WANTED_VALUE.size] = size?.param ?? PARAMS_MAX
    if (size !== undefined) {
      bytes[at + WANTED_VALUE.sizeType] = ARG_TYPES[size.read]
      bytes[at + WANTED_VALUE.returned] = ARG_TYPES[size.returned ?? 'nop']
    }
    if (detailed.has(numberOf(value))) bytes.writeUInt16LE(FILE_DETAILS.bytes, at + WANTED_VALUE.shown)
    if (places === undefined) return
    bytes[at + WANTED_VALUE.members] = value.read === 'object' ? places.list.length : 0
    bytes.writeUInt16LE(places.number, at + WANTED_VALUE.places)
    if (value.read === 'object') bytes.writeUInt16LE(places.bytes, at + WANTED_VALUE.shown)
    bytes.writeUInt32LE(tables.places.length, at + WANTED_VALUE.place)
    placesAt.set(value, tables.places.length)
    tables.places.push(...places.list)
  })
  fieldBytes(fields).copy(bytes, HOOK.fields)
  bytes.writeUInt32LE(Math.ceil(rows.length / 64), HOOK.words)
  const all = bitsOf(rows, () => true)
  bytes.writeUInt32LE(tables.sets.id(all), HOOK.all)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, all), HOOK.firstAll)
  bytes.writeUInt32LE(tables.selectors.length, HOOK.selectors)
  bytes.writeUInt32LE(rows.length, HOOK.nselectors)
  const decided = new Set([...writeNumbers(bytes, values, rows, tables), ...writePath(bytes, screened, rows, tables)])
  const files = filesAsked(values, rows)
  writeFiles(bytes, files, rows, tables, known, placesAt)
  const asked = rows.map(({ selector }) => known.conditionsOf(selector))
  const placed = rows.map(({ selector }) => known.workloadsOf(selector))
  const firstFilters = rows.map(earlyFilters)
  // If a selector has none, nearly all calls have a record, and values would be read twice.
  const early = firstFilters.every(({ length }) => length > 0) ? firstFilters : []
  rows.forEach((row, i) => {
    const selector = selectorBytes(row, values, early[i] ?? [], decided, tables, known, files)
    selector.writeUInt32LE(tables.sets.id((asked[i] ?? 0n) | (placed[i] ?? 0n)), SELECTOR.conditions)
    tables.selectors.push(selector)
  })
  const acts =
    rows.some(({ selector }) => selector.actions !== undefined) ||
    specs.some(({ aggregate }) => aggregate !== undefined)
  bytes.writeUInt32LE(acts ? 1 : 0, HOOK.actions)
  bytes.writeUInt32LE(asked.some(Boolean) ? 1 : 0, HOOK.conditional)
  const denying = specs.some(denies)
  bytes[HOOK.denies] = denying ? 1 : 0
  bytes[HOOK.awaits] = denying && specs.some((spec) => spec.return) ? 1 : 0
  const atReturn = !denying && specs.some(judgedAtReturn)
  bytes[HOOK.atReturn] = atReturn ? 1 : 0
  const stacks = rows.flatMap(({ selector }) => selector.stacks ?? [])
  bytes[HOOK.stacks] =
    (stacks.some(({ kernel }) => kernel) ? STACK_KERNEL : 0) | (stacks.some(({ user }) => user) ? STACK_USER : 0)
  bytes.writeUInt32LE(tables.sets.id(anyOf(asked)), HOOK.conditions)
  bytes.writeUInt16LE(wordsOf([...asked, ...placed]), HOOK.conditionWords)
  bytes.writeUInt16LE(placed.some(Boolean) ? 1 : 0, HOOK.placed)
  bytes[HOOK.early] = early.length > 0 || rejectsEarly(rows, [...asked, ...placed]) ? 1 : 0
  const judged = early.flatMap((filters, i) => filters.map(({ arg }) => rows[i]?.hook.spec.args[arg]))
  values.forEach((value, i) => {
    if (judged.some((arg) => sameValue(value, arg))) bytes[HOOK.judged] = (bytes[HOOK.judged] ?? 0) | (1 << i)
  })
  bytes.writeUInt32LE(tables.sets.id(anyOf(placed)), HOOK.workloads)
  return bytes
}

/** Fields that are read; without fields parameters, and for a system call only its pt_regs (0). */
function paramsRead(syscall: boolean, fields: readonly EventField[], values: readonly Value[]): number[] {
  const asked = values.flatMap(({ param, size }) => [param, size?.param ?? PARAMS_MAX]).filter((i) => i < PARAMS_MAX)
  if (fields.length > 0) return asked.filter((i) => isField(fields[i] ?? NO_FIELD))
  return syscall ? [0] : asked
}

/** Whether calls wait for their return before anything is read. If hooks deny calls, all are judged at their entry, and have events of their own. */
export const judgedAtReturn = ({ aggregate, args, return: returns }: HookSpec): boolean =>
  returns && (aggregate !== undefined || readsAtReturn(args))

/** Whether selectors have conditions on the task that the screen cannot decide: it knows one bit for each selector, not the conditions of a call. */
const rejectsEarly = (rows: readonly Row[], asked: readonly bigint[]): boolean =>
  rows.some(({ selector: { task = [] } }) => task.length > 0) ||
  asked.some((bits) => bits !== 0n && (rows.length > 1 || (bits & (bits - 1n)) !== 0n))

/** Lowest bit that each selector requires: a process without any matches no selector. 0: one requires no bits. */
function anyOf(asked: readonly bigint[]): bigint {
  return asked.every(Boolean) ? asked.reduce((any, bits) => any | (bits & -bits), 0n) : 0n
}

/** Bit n: an element has bits in its word n. */
function wordsOf(asked: readonly bigint[]): number {
  const all = asked.reduce((bits, each) => bits | each, 0n)
  const used = (w: number): number => (BigInt.asUintN(64, all >> BigInt(64 * w)) === 0n ? 0 : 1 << w)
  return Array.from({ length: SET_WORDS }, (_, w) => used(w)).reduce((words, word) => words | word)
}

/** `files`: those of the call with filters by file identity. */
function writeFiles(
  bytes: Buffer,
  files: readonly Value[],
  rows: readonly Row[],
  tables: Tables,
  { filesOf }: HostFacts,
  placesAt: ReadonlyMap<Value, number>,
): void {
  for (let i = 0; i < FILES_MAX; i++) {
    const at = HOOK.files + i * FILE_SCREEN.bytes
    const value = files[i]
    if (value === undefined) {
      bytes[at + FILE_SCREEN.param] = NO_ARG
      continue
    }
    const filters = rows.map((row) => identityFiltersOn(value, row))
    const wanted = filters.flat().reduce((all, filter) => all | filesOf(filter), 0n)
    bytes.writeBigUInt64LE(wanted, at + FILE_SCREEN.wanted)
    bytes[at + FILE_SCREEN.param] = value.param
    bytes[at + FILE_SCREEN.type] = ARG_TYPES[value.read]
    bytes.writeUInt16LE(value.places?.number ?? 0, at + FILE_SCREEN.places)
    bytes.writeUInt32LE(placesAt.get(value) ?? 0, at + FILE_SCREEN.place)
    bytes.writeUInt32LE(tables.sets.id(bitsOf(rows, (_, bit) => filters[bit]?.length === 0)), at + FILE_SCREEN.others)
  }
}
