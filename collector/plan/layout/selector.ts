/** Writes one `struct selector` (bpf/frame/filter.h), and the map entries of its filters. */
import type {
  Actions,
  Aggregate,
  ArgumentFilter,
  ArgumentSpec,
  BitPrefix,
  BytesSize,
  HookSpec,
  IdentityFilter,
  NamespaceKind,
  NumberFilter,
  Selector,
  TaskFilter,
} from '../../../config/policy/policy.ts'
import { TYPES } from '../../../config/policy/arguments.ts'
import type { ArgumentType } from '../../../config/policy/arguments.ts'
import type { Places } from '../../../config/policy/types/places.ts'
import {
  ACTION,
  AGGREGATE_BYTES,
  AGGREGATE_CALLS,
  AGGREGATE_ERRORS,
  ARG_TYPES,
  CAPABILITY_SETS,
  CLASSES,
  FILTER,
  FILTER_NUMBERS,
  NAMESPACES,
  OPS,
  SCOPES,
  SELECTOR,
  SOCKET_MEMBERS,
} from '../../wire/wire.ts'
import type { Tables } from './tables.ts'
import { automaton } from './automaton.ts'
import { textEntries } from './texts.ts'

/** The hook of one policy on a function. */
export interface PolicyHook {
  /** Its id in records; unique. */
  readonly id: number
  readonly spec: HookSpec
}

/** Facts that selectors refer to. */
export interface HostFacts {
  /** The bits of a process that a selector requires. */
  readonly conditionsOf: (selector: Selector) => bigint
  /** The bits of its cgroup. */
  readonly workloadsOf: (selector: Selector) => bigint
  /** Inode number of the host's namespace. */
  readonly hostNamespace: (kind: NamespaceKind) => number
  /** The bit of the filter's files. */
  readonly filesOf: (filter: IdentityFilter) => bigint
}

export const NO_FACTS: HostFacts = {
  conditionsOf: () => 0n,
  workloadsOf: () => 0n,
  hostNamespace: () => 0,
  filesOf: () => 0n,
}

/** A value of the records: a parameter of the function, read in one way. */
export interface Value {
  readonly param: number
  readonly read: ArgumentType['read']
  /** Places that are read instead of the parameter. */
  readonly places?: Places | undefined
  readonly size?: BytesSize | undefined
  /** For bytes: one of the policies has `maxData`. */
  readonly more?: boolean
}

/** A selector with its policy; its place in the list is its bit in sets. */
export interface Row {
  readonly hook: PolicyHook
  readonly index: number
  readonly selector: Selector
}

export const sameValue = (value: Value, arg: ArgumentSpec | undefined): boolean =>
  arg !== undefined &&
  arg.index === value.param &&
  arg.type.read === value.read &&
  arg.places?.number === value.places?.number

const TEXTS: ReadonlySet<Value['read']> = new Set(
  TYPES.filter(({ filter }) => filter === 'text' || filter === 'path' || filter === 'unix').map(({ read }) => read),
)

export const isText = ({ read }: Value): boolean => TEXTS.has(read)

/** Makes the bits from digits: with hundreds of rows that is much faster than to add each bit to a bigint. */
export function bitsOf(rows: readonly Row[], holds: (row: Row, bit: number) => boolean): bigint {
  let digits = ''
  for (let i = rows.length - 1; i >= 0; i--) {
    const row = rows[i]
    digits += row !== undefined && holds(row, i) ? '1' : '0'
  }
  return digits === '' ? 0n : BigInt(`0b${digits}`)
}

/** The filters of a hook by file identity. */
export const identityFiltersOf = ({ selectors }: Pick<HookSpec, 'selectors'>): IdentityFilter[] =>
  selectors.flatMap(({ matchArgs }) => matchArgs.filter((filter) => filter.class === 'identity'))

/** The selector's filters on a value by file identity. */
export function identityFiltersOn(value: Value, { hook, selector }: Row): IdentityFilter[] {
  return selector.matchArgs.filter(
    (filter): filter is IdentityFilter => filter.class === 'identity' && sameValue(value, hook.spec.args[filter.arg]),
  )
}

/** The values with filters by file identity. */
export function filesAsked(values: readonly Value[], rows: readonly Row[]): Value[] {
  return values.filter((value) => rows.some((row) => identityFiltersOn(value, row).length > 0))
}

/** Whether it filters on changes since it last matched. */
export const asksOfChanges = ({ task = [] }: Selector): boolean =>
  task.some((filter) => filter.class === 'namespaceChange' || filter.class === 'capabilityChange')

/** The filters that the kernel side can test before it reads the values of a record: on members of structs, and on types of files. */
export const earlyFilters = ({ hook: { spec }, selector }: Row): ArgumentFilter[] =>
  selector.matchArgs.filter((filter) => {
    const arg = spec.args[filter.arg]
    if (arg?.places !== undefined) return filter.class === 'number' || filter.class === 'text'
    // A descriptor may lead to another file by the time its path is read.
    return filter.class === 'fileType' && arg?.type.read !== 'fd'
  })

/** `early`: filters that are tested first. `decided`: those that the screen evaluates completely; they stand last. */
export function selectorBytes(
  { hook: { id, spec }, index, selector }: Row,
  values: readonly Value[],
  early: readonly ArgumentFilter[],
  decided: ReadonlySet<ArgumentFilter>,
  tables: Tables,
  { hostNamespace, filesOf }: HostFacts,
  files: readonly Value[],
): Buffer {
  const bytes = Buffer.alloc(SELECTOR.bytes)
  bytes.writeUInt32LE(id, SELECTOR.policyHook)
  const others = selector.matchArgs.filter((filter) => !early.includes(filter))
  const undecided = [...early, ...others.filter((filter) => !decided.has(filter))]
  const filters = [...undecided, ...others.filter((filter) => decided.has(filter))]
  bytes[SELECTOR.index] = index
  bytes.writeUInt16LE(asksOfChanges(selector) ? 1 : 0, SELECTOR.changes)
  const task = selector.task ?? []
  bytes[SELECTOR.count] = task.length + filters.length
  bytes[SELECTOR.undecided] = task.length + undecided.length
  bytes.writeUInt16LE(task.length + early.length, SELECTOR.early)
  bytes[SELECTOR.returnType] =
    spec.return && spec.returnArg !== undefined ? ARG_TYPES[spec.returnArg.type.read] : ARG_TYPES.nop
  task.forEach((filter, i) =>
    writeTaskFilter(bytes, SELECTOR.filters + i * FILTER.bytes, filter, hostNamespace, tables),
  )
  if (selector.actions !== undefined) writeActions(bytes, selector.actions, spec, values)
  if (spec.aggregate !== undefined) writeAggregate(bytes, spec.aggregate, spec, values)
  filters.forEach((filter, i) => {
    const value = values.findIndex((each) => sameValue(each, spec.args[filter.arg]))
    const at = SELECTOR.filters + (task.length + i) * FILTER.bytes
    // bpf/frame/filter.h CLASS_IDENTITY
    const file = files.findIndex((each) => sameValue(each, spec.args[filter.arg]))
    writeFilter(bytes, at, value, filter, tables, filter.class === 'identity' ? [filesOf(filter), BigInt(file)] : [])
  })
  return bytes
}

function writeActions(bytes: Buffer, actions: Actions, spec: HookSpec, values: readonly Value[]): void {
  const { signals, error = 0, reports, limit, notify, enforces } = actions
  const at = SELECTOR.action
  signals.forEach((signal, i) => (bytes[at + ACTION.signals + i] = signal))
  bytes[at + ACTION.hide] = reports ? 0 : 1
  bytes.writeInt16LE(error, at + ACTION.error)
  if (notify !== undefined || enforces !== undefined) {
    bytes.writeUInt32LE(spec.enforcer ?? 0, at + ACTION.enforcer)
    bytes.writeInt16LE(notify?.error ?? 0, at + ACTION.noteError)
    bytes[at + ACTION.noteSignal] = notify?.signal ?? 0
    bytes[at + ACTION.enforces] = enforces === undefined ? 0 : 1
  }
  if (limit === undefined) return
  bytes.writeUInt32LE(limit.ms, at + ACTION.intervalMs)
  bytes[at + ACTION.scope] = SCOPES[limit.scope]
  bytes[at + ACTION.values] = valuesOf(spec.args, values)
}

function writeAggregate(bytes: Buffer, { byFile, byKind }: Aggregate, spec: HookSpec, values: readonly Value[]): void {
  const at = SELECTOR.action
  const returnsBytes = spec.returnArg?.type.kind === 'wide'
  const flags = AGGREGATE_CALLS | (byKind ? AGGREGATE_ERRORS : 0) | (returnsBytes ? AGGREGATE_BYTES : 0)
  bytes.writeUInt32LE(flags, at + ACTION.aggregate)
  const equal = spec.args.filter(({ type: { kind } }) => (kind === 'number' || kind === 'wide' ? byKind : byFile))
  bytes[at + ACTION.values] = valuesOf(equal, values)
}

/** A bit for each value that is one of these arguments. Arguments of other policies on the function do not count. */
function valuesOf(args: readonly ArgumentSpec[], values: readonly Value[]): number {
  return values.reduce((bits, value, i) => (args.some((arg) => sameValue(value, arg)) ? bits | (1 << i) : bits), 0)
}

function writeFilter(
  bytes: Buffer,
  at: number,
  value: number,
  filter: ArgumentFilter,
  tables: Tables,
  identity: readonly bigint[],
): void {
  const id = ++tables.lastFilter
  bytes[at + FILTER.value] = value
  bytes[at + FILTER.class] = CLASSES[filter.class]
  bytes[at + FILTER.op] = OPS[filter.operator === 'SubStringIgnCase' ? 'SubString' : filter.operator]
  bytes.writeUInt32LE(id, at + FILTER.id)
  if (filter.class === 'socket') {
    bytes[at + FILTER.count] = SOCKET_MEMBERS[filter.member]
    // The next number is for addresses of IPv6.
    tables.lastFilter++
    for (const { ipv6, ...prefix } of distinct(filter.values)) {
      tables.sockets.push({ filter: ipv6 ? id + 1 : id, ...prefix })
    }
    return
  }
  if (filter.class === 'identity') {
    writeNumbersOf(bytes, at, id, identity, tables)
    return
  }
  if (filter.class === 'fileType') {
    writeNumbersOf(bytes, at, id, filter.values, tables)
    return
  }
  if (filter.class !== 'number') {
    const texts = filter.values.map((one) => Buffer.from(one))
    if (filter.operator === 'SubString' || filter.operator === 'SubStringIgnCase') {
      writeNumbersOf(bytes, at, id, [BigInt(tables.automaton.length)], tables)
      const ignoreCase = filter.operator === 'SubStringIgnCase'
      tables.automaton.push(...automaton(texts, ignoreCase, tables.automaton.length))
    } else if (filter.operator === 'Postfix' || filter.operator === 'NotPostfix') {
      for (const text of texts) tables.suffixes.push({ filter: id, bytes: Buffer.from(text.toReversed()) })
    } else {
      tables.texts.push(...textEntries(id, texts, () => ++tables.lastFilter))
    }
    return
  }
  writeNumbersOf(bytes, at, id, wantedOf(filter), tables)
}

/** The map has room for each key once. */
function distinct(values: readonly BitPrefix[]): Iterable<BitPrefix> {
  return new Map(values.map((value) => [`${value.ipv6} ${value.bits} ${value.bytes.join()}`, value])).values()
}

function writeTaskFilter(
  bytes: Buffer,
  at: number,
  filter: TaskFilter,
  hostNamespace: HostFacts['hostNamespace'],
  tables: Tables,
): void {
  const id = ++tables.lastFilter
  bytes[at + FILTER.class] = CLASSES[filter.class]
  bytes.writeUInt32LE(id, at + FILTER.id)
  if (filter.class === 'namespaceChange') {
    const mask = filter.namespaces.reduce((bits, kind) => bits | (1n << BigInt(NAMESPACES[kind])), 0n)
    writeNumbersOf(bytes, at, id, [mask], tables)
    return
  }
  if (filter.class !== 'capabilityChange') bytes[at + FILTER.op] = OPS[filter.operator]
  if (filter.class !== 'namespace') {
    bytes[at + FILTER.value] = CAPABILITY_SETS[filter.set]
    // match/task.h: a mask, and the user namespace to which it does not apply.
    const except = filter.outsideHost ? hostNamespace('user') : 0
    writeNumbersOf(bytes, at, id, [filter.mask, BigInt(except)], tables)
    return
  }
  const { namespace, values } = filter
  bytes[at + FILTER.value] = NAMESPACES[namespace]
  const inums = values.map((value) => BigInt(value === 'host' ? hostNamespace(namespace) : value))
  writeNumbersOf(bytes, at, id, inums, tables)
}

/** Into the filter, or into the map `numbers` when there are more than it has room for. */
function writeNumbersOf(bytes: Buffer, at: number, id: number, numbers: readonly bigint[], tables: Tables): void {
  const wanted = numbers.map((number) => BigInt.asUintN(64, number))
  if (wanted.length > FILTER_NUMBERS) {
    for (const number of wanted) tables.numbers.push({ filter: id, number })
    return
  }
  bytes[at + FILTER.count] = wanted.length
  wanted.forEach((number, i) => bytes.writeBigUInt64LE(number, at + FILTER.numbers + 8 * i))
}

/** The numbers to compare with: masks and bounds are merged into one equivalent value. */
export function wantedOf({ operator, values }: NumberFilter): readonly bigint[] {
  switch (operator) {
    case 'Mask':
      return [values.reduce((all, one) => all | one, 0n)]
    case 'GreaterThan':
      return [values.reduce((least, one) => (one < least ? one : least))]
    case 'LessThan':
      return [values.reduce((most, one) => (one > most ? one : most))]
    default:
      return values
  }
}

/** Whether a number passes a filter. `wanted`: its `wantedOf`. */
export function passes({ operator }: NumberFilter, wanted: readonly bigint[], number: bigint): boolean {
  const [bound = 0n] = wanted
  switch (operator) {
    case 'Equal':
      return wanted.includes(number)
    case 'NotEqual':
      return !wanted.includes(number)
    case 'GreaterThan':
      return number > bound
    case 'LessThan':
      return number < bound
    case 'Mask':
      return (number & bound) !== 0n
    default:
      return true
  }
}
