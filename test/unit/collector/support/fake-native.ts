/** Objects, maps and links in memory: the effects of PolicyPrograms on the kernel, and the resources that stay open. */
import { basename } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { u32 } from '../../../../collector/wire/bytes.ts'
import { HOOK, REPEAT_KEY, SELECTOR, TAKE_DONE, TAKE_LATER, TAKE_NONE } from '../../../../collector/wire/wire.ts'
import { NativeError } from '../../../../native/index.ts'
import type {
  AttachKind,
  BpfMap,
  BpfObject,
  KernelFunction,
  KernelMember,
  Link,
  ObjectOptions,
} from '../../../../native/types.ts'

/** Text of a call, for tests that let it fail: `open hook.typed.bpf.o hook_entry_0 …`, `attach gate_entry_0 f`, `put hook_entry_0`, `map sets`, `update sets`. */
type Call = string

/** A map of an object, behind all handles of it. */
interface MapState {
  readonly name: string
  readonly entries: Map<string, Buffer>
  frozen: boolean
  /** Programs in a program array. */
  readonly programs: Map<number, { readonly object: FakeObject; readonly program: string; readonly id: number }>
}

interface LinkState {
  readonly kind: AttachKind
  readonly symbol: string
  readonly gate: MapState
  readonly index: number
}

const TYPE: KernelFunction = { returns: 'int', returnsBase: 'int', params: [] }

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const slotOf = (program: string): number => Number(/_(\d+)$/.exec(program)?.[1])

/** A kernel with every function but those that begin with `no_`. */
export class FakeNative {
  readonly objects: FakeObject[] = []
  /** Every call, in order. */
  readonly calls: Call[] = []
  readonly #open = new Set<object>()
  readonly #links = new Set<LinkState>()
  #lastId = 0
  /** Missed runs of links, by kind. */
  missed: Partial<Record<AttachKind, bigint>> = {}
  /** `struct taken_aggregate` by its key in hexadecimal. */
  readonly aggregates = new Map<string, Buffer | 'later'>()
  fail: (call: Call) => Error | undefined = () => undefined

  readonly openObject = async (path: string, options: ObjectOptions): Promise<BpfObject> => {
    this.call(['open', basename(path), ...options.programs.map(({ name }) => name)].join(' '))
    await setImmediate()
    const object = new FakeObject(this, basename(path), options)
    this.objects.push(object)
    this.took(object)
    return object
  }

  readonly closed = async (): Promise<void> => {
    await setImmediate()
  }

  /** Functions that are missing for now. */
  readonly absent = new Set<string>()

  readonly kernelFunctions = async (names: readonly string[]): Promise<Map<string, KernelFunction>> => {
    await setImmediate()
    return new Map(
      names.filter((name) => !name.startsWith('no_') && !this.absent.has(name)).map((name) => [name, TYPE]),
    )
  }

  readonly kernelMembers = async (): Promise<KernelMember[]> => []

  readonly kernelFunctionNames = async (): Promise<string[]> => {
    await setImmediate()
    return []
  }

  /** Functions whose links another program closed. */
  closedBehind: (symbol: string) => boolean = () => false

  /** `struct identified` of an open file. */
  identify: (fd: number) => Buffer | undefined = () => undefined

  /** The next number of a link or program. */
  number(): number {
    return ++this.#lastId
  }

  call(what: Call): void {
    this.calls.push(what)
    const error = this.fail(what)
    if (error !== undefined) throw error
  }

  took(resource: object): void {
    this.#open.add(resource)
  }

  gave(resource: object): void {
    this.#open.delete(resource)
  }

  isOpen(resource: object): boolean {
    return this.#open.has(resource)
  }

  /** Open objects, map handles and links. */
  get resources(): number {
    return this.#open.size
  }

  attached(link: LinkState): Link {
    this.#links.add(link)
    const identity = { id: this.number(), program: this.number() }
    const handle: Link = {
      kind: link.kind,
      identity: () => (this.closedBehind(link.symbol) ? { id: 0, program: 0 } : identity),
      stats: () => ({ missed: this.missed[link.kind] ?? 0n, runs: 0n, runNs: 0n }),
      close: () => {
        this.#links.delete(link)
        this.gave(handle)
      },
      [Symbol.dispose]: () => handle.close(),
    }
    this.took(handle)
    return handle
  }

  /** Programs that a call of each function runs, in the order of attaching: `f kprobe.multi: function 1, hooks 1 2`. */
  state(): string[] {
    return [...this.#links].map(({ kind, symbol, gate, index }) => {
      const behind = gate.programs.get(index)
      return `${symbol} ${kind}: ${behind === undefined ? 'nothing' : behind.object.serves(behind.program)}`
    })
  }
}

export class FakeObject implements BpfObject {
  readonly #native: FakeNative
  readonly file: string
  readonly options: ObjectOptions
  readonly #maps = new Map<string, MapState>()

  constructor(native: FakeNative, file: string, options: ObjectOptions) {
    this.#native = native
    this.file = file
    this.options = options
  }

  map(name: string): BpfMap {
    const native = this.#native
    const error = native.fail(`map ${name}`)
    if (error !== undefined) throw error
    const state = this.#state(name)
    const handle: BpfMap & { readonly state: MapState } = {
      state,
      info: { name, keySize: 24, valueSize: 48, maxEntries: 8192, perCpu: 1 },
      lookup: (key) => {
        const program = state.programs.get(Buffer.from(key).readUInt32LE())
        return program === undefined ? state.entries.get(hex(key)) : u32(program.id)
      },
      lookupAll: (keys) => keys.map((key) => handle.lookup(key)),
      update: (key, value) => {
        native.call(`update ${name}`)
        if (state.frozen) throw new NativeError('NOT_PERMITTED', `the map ${name} is frozen`)
        state.entries.set(hex(key), Buffer.from(value))
        return true
      },
      delete: (key) => state.programs.delete(Buffer.from(key).readUInt32LE()) || state.entries.delete(hex(key)),
      part: () => {
        if (!native.isOpen(handle)) throw new NativeError('CLOSED', `the map ${name} is closed`)
        return { keys: Buffer.alloc(0), values: Buffer.alloc(0), count: 0, next: undefined }
      },
      freeze: () => {
        state.frozen = true
      },
      close: () => native.gave(handle),
      [Symbol.dispose]: () => handle.close(),
    }
    native.took(handle)
    return handle
  }

  #state(name: string): MapState {
    const known = this.#maps.get(name)
    if (known !== undefined) return known
    const state: MapState = { name, entries: new Map(), frozen: false, programs: new Map() }
    this.#maps.set(name, state)
    return state
  }

  async attach(program: string, symbols: readonly string[] = []): Promise<Link> {
    await setImmediate()
    this.#native.call(['attach', program, ...symbols].join(' '))
    const { kind } = this.#program(program)
    // These work by themselves.
    if (program.startsWith('file_')) {
      return this.#native.attached({ kind, symbol: symbols[0] ?? '', gate: this.#state('none'), index: 0 })
    }
    const gate = this.#state(`gate_${slotOf(program)}`)
    const index = program.startsWith('gate_return') ? 1 : 0
    if (!gate.programs.has(index)) throw new Error(`${program} is attached with nothing behind it`)
    return this.#native.attached({ kind, symbol: symbols[0] ?? '', gate, index })
  }

  put(map: BpfMap, index: number, program: string): void {
    this.#native.call(`put ${program}`)
    this.#program(program)
    if (!('state' in map)) throw new TypeError('not a map of this fake')
    if (!this.#native.isOpen(map)) throw new NativeError('CLOSED', 'the map is closed')
    const { programs } = (map as BpfMap & { readonly state: MapState }).state
    programs.set(index, { object: this, program, id: this.#native.number() })
  }

  /** One page per program. */
  memory(): number {
    return 4096 * this.options.programs.length
  }

  /** Answers for files.bpf.c (identity of an open file of the agent) and for aggregate.bpf.c (count of an aggregate). */
  run(program: string, ...[fd]: ReadonlyArray<number | bigint>): number {
    this.#native.call(`run ${program}`)
    this.#program(program)
    if (program === 'aggregate_take') {
      const asked = this.#state('aggregate_taken').entries
      const taken = this.#native.aggregates.get(asked.get(hex(u32(0)))?.toString('hex', 0, REPEAT_KEY.bytes) ?? '')
      if (taken !== undefined && taken !== 'later') asked.set(hex(u32(0)), taken)
      return taken === undefined ? TAKE_NONE : taken === 'later' ? TAKE_LATER : TAKE_DONE
    }
    if (program !== 'file_identify') return 0
    const found = this.#native.identify(Number(fd))
    if (found === undefined) return 0
    this.#state('identified').entries.set(hex(u32(0)), found)
    return 1
  }

  #program(name: string): ObjectOptions['programs'][number] {
    if (!this.#native.isOpen(this)) throw new NativeError('CLOSED', `the object of ${name} is closed`)
    const found = this.options.programs.find((program) => program.name === name)
    if (found === undefined) throw new NativeError('NO_PROGRAM', `no ${name}`)
    return found
  }

  /** The function and the hooks of policies that a program serves. */
  serves(program: string): string {
    if (!this.#native.isOpen(this)) return 'a closed object'
    const hook = Buffer.from(this.options.constants?.['hooks'] ?? []).subarray(slotOf(program) * HOOK.bytes)
    const from = hook.readUInt32LE(HOOK.selectors)
    const hooks = Array.from({ length: hook.readUInt32LE(HOOK.nselectors) }, (_, i) => {
      const key = Buffer.alloc(4)
      key.writeUInt32LE(from + i)
      return this.#state('selectors').entries.get(hex(key))?.readUInt32LE(SELECTOR.policyHook)
    })
    return `function ${hook.readUInt32LE(HOOK.id)}, hooks ${[...new Set(hooks)].join(' ')}`
  }

  close(): void {
    this.#native.gave(this)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
