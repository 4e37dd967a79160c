/** Random policies whose filters often match the calls of a world, and often nearly match. */
import type { Seeded } from '../../simulation/spool/random.ts'
import { numberType, readAs } from './evaluator.ts'
import type { ArgumentDocument, FilterDocument, HookDocument, PolicyDocument, SelectorDocument } from './evaluator.ts'
import type { BinariesDocument, ProcessFilters } from './process-filters.ts'
import { NUMBERS } from './world.ts'
import type { World } from './world.ts'

type Kind = 'file' | 'path' | 'string' | 'number'

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
]

const NUMBER_TYPES: readonly string[] =
  'int sint8 int8 uint8 sint16 int16 uint16 sint32 int32 uint32 sint64 int64 uint64 long ulong size_t'.split(' ')
const TEXT_OPERATORS: readonly string[] = ['Equal', 'In', 'NotEqual', 'NotIn', 'NotPrefix', 'NotPostfix']
/** With those that select few more often than others. */
const NUMBER_OPERATORS: readonly string[] =
  'Equal Equal In In NotEqual NotIn GreaterThan GT GT LessThan LT LT Mask Mask Mask'.split(' ')
const SHORT: readonly string[] = [
  '/',
  '/x',
  '/a',
  'a',
  'd)',
  ' (deleted)',
  '/tmp/',
  '/tmp',
  '//',
  '/f',
  'passwd',
  '/passwd',
]

const TEXT_BYTES = 4095
const POSTFIX_BYTES = 127
/** Of all values of one policy; a file of 256 KiB is the limit. */
const POLICY_BYTES = 60_000

/** Well-formed texts of at most `bytes` bytes: the beginning of some bytes, or their end. */
function beginning(of: Buffer, bytes: number): string {
  return of
    .subarray(0, bytes)
    .toString()
    .replace(/\uFFFD.*$/s, '')
}
function end(of: Buffer, bytes: number): string {
  return of
    .subarray(Math.max(0, of.length - bytes))
    .toString()
    .replace(/^.*\uFFFD/s, '')
}

/** From one seed, for one world. */
export class Policies {
  readonly #random: Seeded
  readonly #texts: readonly string[]
  readonly #targets: readonly Target[]
  readonly #hooks: HookDocument[] = []
  #bytes = 0
  readonly #programs: readonly string[]

  /** `programs`: that of the process that makes the calls, and that of its parent. */
  constructor(random: Seeded, world: World, programs: readonly string[]) {
    this.#programs = programs
    this.#random = random
    this.#texts = [...world.files, ...world.folders, ...world.others]
    // Now and then everything hangs on one function.
    this.#targets = random.chance(0.4) ? TARGETS.slice(random.int(TARGETS.length)).slice(0, 1) : TARGETS
  }

  set(count: number): PolicyDocument[] {
    return Array.from({ length: count }, (_, i) => this.#policy(`p${i}`))
  }

  #policy(name: string): PolicyDocument {
    const random = this.#random
    this.#bytes = 0
    const hooks = random.chance(0.7) ? 1 : 2 + random.int(random.chance(0.1) ? 20 : 2)
    return { name, hooks: Array.from({ length: hooks }, (_, i) => this.#hook(`h${i}`)) }
  }

  #hook(message: string): HookDocument {
    const random = this.#random
    const like = random.pick(this.#hooks)
    if (like !== undefined && random.chance(0.05)) return { ...like, message }
    const target = random.chance(0.35) ? this.#targets[0] : random.pick(this.#targets)
    if (target === undefined) throw new Error('no target')
    const { call, syscall, params } = target
    const args = this.#args(params)
    const filtered = args.filter(({ type }) => type !== 'nop')
    const selectors = random.chance(0.06) ? 0 : 1 + Math.floor(random.next() ** 2 * 5)
    const hook: HookDocument = {
      call,
      // true is the default.
      ...(syscall && random.chance(0.5) ? {} : { syscall }),
      message,
      ...(random.chance(0.4) ? { return: true, returnArg: this.#returned(syscall) } : {}),
      args,
      selectors: Array.from({ length: selectors }, () => this.#selector(args, filtered)),
    }
    this.#hooks.push(hook)
    return hook
  }

  /** Which bits above an `int` a function leaves in the register is not defined. */
  #returned(syscall: boolean): ArgumentDocument {
    const types = NUMBER_TYPES.filter((name) => syscall || (numberType(name)?.bits ?? 0) <= 32)
    return { index: 0, type: this.#random.pick(types) ?? 'int' }
  }

  /** Some of the parameters, in some order. */
  #args(params: readonly Kind[]): ArgumentDocument[] {
    const random = this.#random
    const all = params.map((kind, index) => ({ kind, index, at: random.next() }))
    const ordered = random.chance(0.5) ? all.toSorted((a, b) => a.at - b.at) : all
    return ordered
      .filter(() => random.chance(0.85))
      .map(({ kind, index }) => {
        const type = kind === 'number' ? (random.pick(NUMBER_TYPES) ?? 'int') : kind
        return { index, type: random.chance(0.05) ? 'nop' : type }
      })
  }

  #selector(args: readonly ArgumentDocument[], filtered: readonly ArgumentDocument[]): SelectorDocument {
    const random = this.#random
    const count = filtered.length === 0 || random.chance(0.03) ? 0 : 1 + Math.floor(random.next() ** 1.7 * 5)
    const filters = Array.from({ length: count }, () => {
      // Mostly on a text: numbers alone select too much.
      const texts = filtered.filter(({ type }) => numberType(type) === undefined)
      return this.#filter(args, random.pick(random.chance(0.6) && texts.length > 0 ? texts : filtered))
    })
    return { ...(filters.length === 0 ? {} : { matchArgs: filters }), ...(random.chance(0.3) ? this.#process() : {}) }
  }

  /** Filters on the process; most of them hold. */
  #process(): ProcessFilters {
    const random = this.#random
    const programs = (): BinariesDocument[] => {
      const operator = random.pick(['In', 'In', 'Prefix', 'Postfix', 'NotIn', 'NotPrefix', 'NotPostfix']) ?? 'In'
      const values = Array.from({ length: 1 + random.int(random.chance(0.1) ? 40 : 3) }, () => this.#program(operator))
      const follow = operator.endsWith('In') && random.chance(0.2)
      return [{ operator, values, ...(follow ? { followChildren: true } : {}) }]
    }
    const inOr = (): string => (random.chance(0.5) ? 'In' : 'NotIn')
    return {
      ...(random.chance(0.6) ? { matchBinaries: programs() } : {}),
      ...(random.chance(0.3) ? { matchParentBinaries: programs() } : {}),
      ...(random.chance(0.2) ? { matchPIDs: [{ operator: 'NotIn', values: [1, 1 + random.int(3)] }] } : {}),
      ...(random.chance(0.2)
        ? {
            matchNamespaces: [
              { namespace: random.pick(['Mnt', 'Net', 'User']) ?? 'Mnt', operator: inOr(), values: ['host_ns', '7'] },
            ],
          }
        : {}),
      ...(random.chance(0.2) ? { matchCapabilities: [{ operator: inOr(), values: ['CAP_KILL', 'CAP_BPF'] }] } : {}),
    }
  }

  #program(operator: string): string {
    const random = this.#random
    const whole = random.pick(this.#programs) ?? '/'
    const cut = 1 + random.int(whole.length)
    const some = operator.endsWith('refix')
      ? whole.slice(0, cut)
      : operator.endsWith('ostfix')
        ? whole.slice(-cut)
        : whole
    return random.chance(0.3) ? `${some.slice(0, -1)}y` : some
  }

  #filter(args: readonly ArgumentDocument[], argument: ArgumentDocument | undefined): FilterDocument {
    const random = this.#random
    if (argument === undefined) throw new Error('no argument to filter')
    const position = args.indexOf(argument)
    const target = random.chance(0.3) ? { args: [position] } : { index: argument.index }
    const type = numberType(argument.type)
    const many = random.chance(0.85)
      ? 1 + random.int(3)
      : random.chance(0.9)
        ? 4 + random.int(10)
        : 60 + random.int(200)
    if (type !== undefined) {
      const operator = random.pick(NUMBER_OPERATORS) ?? 'Equal'
      const values = Array.from({ length: many }, () => this.#number(type, operator))
      return { ...target, operator, values }
    }
    const operator =
      random.pick(random.chance(0.7) ? ['Prefix', 'Prefix', 'Postfix', 'Equal'] : TEXT_OPERATORS) ?? 'Equal'
    const values = [this.#text(operator)]
    while (values.length < many && this.#bytes < POLICY_BYTES) values.push(this.#text(operator))
    return { ...target, operator, values }
  }

  #number(type: { readonly signed: boolean; readonly bits: number }, operator: string): string {
    const random = this.#random
    const near = random.chance(0.7) ? 0n : BigInt(random.int(3) - 1)
    const number = readAs(type, (random.pick(NUMBERS) ?? 0n) + near)
    if (operator === 'Mask' && number === 0n) return '1'
    const [sign, magnitude] = number < 0n ? ['-', -number] : ['', number]
    const spelled = [
      `${magnitude}`,
      `${magnitude}`,
      `0x${magnitude.toString(16)}`,
      `0o${magnitude.toString(8)}`,
      `0${magnitude.toString(8)}`,
      `0b${magnitude.toString(2)}`,
    ]
    return `${sign}${random.pick(spelled)}`
  }

  #text(operator: string): string {
    const random = this.#random
    const isEnd = operator.endsWith('ostfix')
    const most = isEnd ? POSTFIX_BYTES : TEXT_BYTES
    const cut = isEnd ? end : beginning
    const whole = Buffer.from(random.pick(this.#texts) ?? '/', 'latin1')
    const some = random.chance(0.05)
      ? (random.pick(SHORT) ?? '/')
      : // Equal too is tried with a beginning only, though less often.
        cut(
          whole,
          random.chance(/qual|In/.test(operator) ? 0.85 : 0.2) ? whole.length : 1 + this.#atSlash(whole, isEnd),
        )
    const changed = random.chance(0.35) ? this.#changed(some) : some
    const value = cut(Buffer.from(changed), most) || '/'
    this.#bytes += Buffer.byteLength(value)
    return value
  }

  /** A length that ends at a component, or just anywhere. */
  #atSlash(whole: Buffer, isEnd: boolean): number {
    const random = this.#random
    const anywhere = random.int(whole.length)
    if (random.chance(0.5)) return anywhere
    const slash = isEnd ? whole.indexOf('/', anywhere) : whole.lastIndexOf('/', anywhere)
    if (slash < 0) return anywhere
    const length = isEnd ? whole.length - slash : slash
    // With its slash or without.
    return Math.max(0, length - random.int(2))
  }

  #changed(text: string): string {
    const random = this.#random
    const at = random.int(text.length)
    const pad = TEXT_BYTES - Buffer.byteLength(text)
    const changes = [
      `${text}/`,
      `${text}x`,
      `${text} `,
      text.slice(0, -1),
      text.slice(1),
      `${text.slice(0, -1)}y`,
      `${text.slice(0, at)}y${text.slice(at + 1)}`,
      text.replace(/\/[^/]*$/, ''),
      text.replace('/', '//'),
      `${text} (deleted)`,
      `${text} (del`,
      text.replace(/ \(deleted\)$/, ''),
      pad > 0 ? text + 'y'.repeat(pad) : text,
      `/${text}`,
    ]
    const changed = random.pick(changes) ?? text
    return changed.isWellFormed() ? changed : text
  }
}
