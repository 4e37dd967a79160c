/** Random policies whose filters often match the calls of a world, and often nearly match. */
import type { Seeded } from '../../../simulation/spool/random.ts'
import type {
  ActionDocument,
  ArgumentDocument,
  DataDocument,
  FilterDocument,
  HookDocument,
  PolicyDocument,
  SelectorDocument,
} from '../documents.ts'
import { isIdentityOperator } from '../identity.ts'
import { numberType } from '../operators.ts'
import { Conditions } from './conditions.ts'
import type { Known } from './conditions.ts'
import { Filters } from './filters.ts'
import { DATA } from './tasks.ts'
import { FILE_MEMBERS, PATH_MEMBERS } from './values.ts'
import type { World } from './world.ts'

type Kind = 'file' | 'path' | 'fd' | 'string' | 'char_buf' | 'number' | 'size' | 'socket' | 'sockaddr'

interface Target {
  readonly call: string
  readonly syscall: boolean
  readonly params: readonly Kind[]
}

const TARGETS: readonly Target[] = [
  { call: 'security_file_permission', syscall: false, params: ['file', 'number'] },
  { call: 'security_mmap_file', syscall: false, params: ['file', 'number', 'number'] },
  { call: 'security_path_truncate', syscall: false, params: ['path'] },
  { call: 'security_file_open', syscall: false, params: ['file'] },
  { call: 'security_file_fcntl', syscall: false, params: ['file', 'number', 'number'] },
  { call: 'sys_openat', syscall: true, params: ['number', 'string', 'number', 'number'] },
  { call: 'sys_unlinkat', syscall: true, params: ['number', 'string', 'number'] },
  { call: 'sys_pwrite64', syscall: true, params: ['fd', 'char_buf', 'size', 'number'] },
]
/** Targets in a world that has sockets. */
const SOCKET_TARGETS: readonly Target[] = [
  { call: 'security_socket_getsockname', syscall: false, params: ['socket'] },
  { call: 'security_socket_bind', syscall: false, params: ['socket', 'sockaddr', 'number'] },
]
const MEMBERS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  file: FILE_MEMBERS,
  path: PATH_MEMBERS,
}

const NUMBER_TYPES: readonly string[] =
  'int sint8 int8 uint8 sint16 int16 uint16 sint32 int32 uint32 sint64 int64 uint64 long ulong size_t'.split(' ')
/** Types in which a buffer's size is read. */
const SIZE_TYPES: readonly string[] = ['size_t', 'uint32', 'int', 'long', 'uint64']
const SIZE_INDEX = 3
/** Return values of calls: descriptors, and errors. */
const RETURNED: readonly bigint[] = [0n, 3n, 4n, 5n, -2n, -14n, -22n, -36n]
const MODES: readonly bigint[] = [0o100644n, 0o040755n, 0o140777n, 0o100000n]
/** Arguments and data of a hook. */
const ARGUMENTS_MAX = 5
const SELECTORS_MAX = 5
/** Arguments of a hook with SameFile or UnderDir. */
const IDENTITY_ARGUMENTS_MAX = 2
/** Signals that calls.c waits for. */
const SIGNALS = { first: 36, count: 20 }

/** A set's share of the limits for all policies: conditions on processes, and different lists of SameFile and UnderDir. */
export interface Room {
  readonly conditions: number
  readonly identityLists: number
}

/** Made from one seed, for one world. */
export class Policies {
  readonly #random: Seeded
  readonly #targets: readonly Target[]
  readonly #hooks: HookDocument[] = []
  readonly #filters: Filters
  readonly #conditions: Conditions
  /** The program that waits for signals. */
  readonly #program: string
  #identityLists: number

  constructor(random: Seeded, world: World, known: Known, room: Room) {
    this.#random = random
    this.#filters = new Filters(random, world, room.identityLists > 0)
    this.#conditions = new Conditions(random, known, room.conditions)
    this.#program = known.programs[0] ?? '/none'
    this.#identityLists = room.identityLists
    const targets = world.sockets.length === 0 ? TARGETS : [...TARGETS, ...SOCKET_TARGETS]
    // Now and then everything hangs on one function.
    this.#targets = random.chance(0.4) ? targets.slice(random.int(targets.length)).slice(0, 1) : targets
  }

  /** `prefix`: of their names. */
  set(prefix: string, count: number): PolicyDocument[] {
    return Array.from({ length: count }, (_, i) => this.#policy(`${prefix}p${i}`))
  }

  #policy(name: string): PolicyDocument {
    const random = this.#random
    this.#filters.newPolicy()
    const hooks = random.chance(0.7) ? 1 : 2 + random.int(random.chance(0.1) ? 20 : 2)
    return {
      name,
      hooks: Array.from({ length: hooks }, (_, i) => this.#hook(`h${i}`)),
      ...(random.chance(0.1) ? { monitor: true } : {}),
    }
  }

  #hook(message: string): HookDocument {
    const random = this.#random
    const like = random.pick(this.#hooks)
    if (like !== undefined && random.chance(0.05)) return { ...like, message }
    const target = random.chance(0.35) ? this.#targets[0] : random.pick(this.#targets)
    if (target === undefined) throw new Error('no target')
    const { call, syscall, params } = target
    const args = this.#args(params)
    const data = this.#data(ARGUMENTS_MAX - args.length)
    const returns = random.chance(0.4) ? { return: true, returnArg: this.#returned(syscall) } : {}
    const selectors = random.chance(0.06) ? 0 : 1 + Math.floor(random.next() ** 2 * SELECTORS_MAX)
    const made = Array.from({ length: selectors }, () => this.#selector(args, data, returns.returnArg))
    const hook: HookDocument = {
      call,
      // true is the default.
      ...(syscall && random.chance(0.5) ? {} : { syscall }),
      message,
      ...returns,
      args,
      ...(data.length === 0 ? {} : { data }),
      selectors: withFewerFiles(args, made),
    }
    this.#hooks.push(hook)
    return hook
  }

  /** A function leaves the register's bits above an `int` undefined: its types have at most 32 bits. */
  #returned(syscall: boolean): ArgumentDocument {
    const types = NUMBER_TYPES.filter((name) => syscall || (numberType(name)?.bits ?? 0) <= 32)
    return { index: 0, type: this.#random.pick(types) ?? 'int' }
  }

  /** Some of the parameters, in some order; of some, a member. */
  #args(params: readonly Kind[]): ArgumentDocument[] {
    const random = this.#random
    const all = params.map((kind, index) => ({ kind, index, at: random.next() }))
    const ordered = random.chance(0.5) ? all.toSorted((a, b) => a.at - b.at) : all
    return ordered
      .filter(() => random.chance(0.85))
      .map(({ kind, index }) => {
        const possible = kind === 'number' ? NUMBER_TYPES : kind === 'size' ? SIZE_TYPES : [kind]
        const type = random.pick(possible) ?? 'int'
        if (random.chance(0.05)) return { index, type: 'nop' }
        const [resolve, types = []] = random.chance(0.2) ? (random.pick(Object.entries(MEMBERS[kind] ?? {})) ?? []) : []
        if (type === 'char_buf') return { index, type, sizeArgIndex: SIZE_INDEX }
        return resolve === undefined ? { index, type } : { index, type: random.pick(types) ?? 'int', resolve }
      })
  }

  #data(most: number): DataDocument[] {
    const random = this.#random
    const count = random.chance(0.85) ? 0 : Math.min(most, 1 + random.int(3))
    return Array.from({ length: count }, () => {
      const [resolve, types] = random.pick(Object.entries(DATA)) ?? ['comm', ['string']]
      return { type: random.pick(types) ?? 'string', source: 'current_task', resolve }
    })
  }

  #selector(
    args: readonly ArgumentDocument[],
    data: readonly DataDocument[],
    returned: ArgumentDocument | undefined,
  ): SelectorDocument {
    const random = this.#random
    const filtered = args.filter(({ type }) => type !== 'nop')
    const count = filtered.length === 0 || random.chance(0.03) ? 0 : 1 + Math.floor(random.next() ** 3 * 4)
    const filters = Array.from({ length: count }, () => {
      // Mostly on a text: numbers alone select too much.
      const texts = filtered.filter(({ type }) => numberType(type) === undefined)
      return this.#filter(args, random.pick(random.chance(0.6) && texts.length > 0 ? texts : filtered))
    })
    const index = random.int(data.length)
    const about = data[index]
    const type = numberType(returned?.type ?? '')
    const matchActions = random.chance(0.2) ? this.#actions() : undefined
    const signals = matchActions?.some(({ action }) => action === 'Signal') === true
    return {
      ...(random.chance(0.1) ? { label: `label ${random.int(3)}` } : {}),
      ...(filters.length === 0 ? {} : { matchArgs: filters }),
      ...(about !== undefined && random.chance(0.4) ? { matchData: [{ index, ...this.#dataFilter(about) }] } : {}),
      ...(type !== undefined && random.chance(0.2)
        ? { matchReturnArgs: [{ index: 0, ...this.#filters.number(type, RETURNED) }] }
        : {}),
      ...(random.chance(0.3) ? this.#conditions.some() : {}),
      // Other processes would be ended by them.
      ...(signals ? { matchBinaries: [{ operator: 'In', values: [this.#program] }] } : {}),
      ...(matchActions === undefined ? {} : { matchActions }),
    }
  }

  #filter(args: readonly ArgumentDocument[], argument: ArgumentDocument | undefined): FilterDocument {
    const random = this.#random
    if (argument === undefined) throw new Error('no argument to filter')
    const position = args.indexOf(argument)
    const target = random.chance(0.3) ? { args: [position] } : { index: argument.index }
    const number = numberType(argument.type)
    if (number !== undefined && argument.resolve !== undefined) {
      return { ...target, ...this.#filters.number(number, MODES) }
    }
    const filter = this.#filters.of(argument.type)
    const tellsFiles = isIdentityOperator(filter.operator)
    if (tellsFiles && this.#identityLists-- < 1) return { ...target, operator: 'Prefix', values: ['/'] }
    return { ...target, ...filter }
  }

  /** Filters on usual values of tasks. */
  #dataFilter({ type, resolve }: DataDocument): Omit<FilterDocument, 'index'> {
    const random = this.#random
    const number = numberType(type)
    if (number !== undefined) return this.#filters.number(number)
    if (resolve === 'mm.exe_file') return this.#filters.of('dentry')
    const values = ['ktrail-calls', 'ktrail', 'MainThread', 'node', 'calls', 'host', 'a']
    const operator = random.pick(['Equal', 'NotEqual', 'Prefix', 'NotPrefix', 'Postfix', 'SubString']) ?? 'Equal'
    return {
      operator,
      values: values.filter(() => random.chance(0.3)).concat('ktrail-calls'.slice(0, 1 + random.int(12))),
    }
  }

  #actions(): ActionDocument[] {
    const random = this.#random
    const post: ActionDocument = random.chance(0.7)
      ? {
          action: 'Post',
          rateLimit: random.pick(['3600', '1h', '90m', '86400s']) ?? '1h',
          ...(random.chance(0.7) ? { rateLimitScope: random.pick(['thread', 'process', 'global']) ?? 'thread' } : {}),
        }
      : { action: 'Post' }
    const signal: ActionDocument = { action: 'Signal', argSig: SIGNALS.first + random.int(SIGNALS.count) }
    const all = [post, { action: 'NoPost' }, signal, { ...signal, argSig: SIGNALS.first }]
    const some = all.filter(() => random.chance(0.4)).slice(0, 3)
    return some.length === 0 ? [post] : some
  }
}

/** Drops identity filters on more arguments than may have them. */
function withFewerFiles(args: readonly ArgumentDocument[], selectors: readonly SelectorDocument[]): SelectorDocument[] {
  const known = new Set<ArgumentDocument | undefined>()
  const fits = (filter: FilterDocument): boolean => {
    if (!isIdentityOperator(filter.operator)) return true
    const [position] = filter.args ?? []
    const argument = position === undefined ? args.find(({ index }) => index === filter.index) : args[position]
    if (known.size < IDENTITY_ARGUMENTS_MAX) known.add(argument)
    return known.has(argument)
  }
  return selectors.map(({ matchArgs, ...others }) => {
    const left = matchArgs?.filter(fits) ?? []
    return left.length === 0 ? others : { ...others, matchArgs: left }
  })
}
