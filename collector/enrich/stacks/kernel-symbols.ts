/**
 * Finds the function of the kernel that contains an address, in /proc/kallsyms.
 *
 * The file has some 10 MB. It is read when the first policy requests stacks, and again after a module came or went. Only names and
 * addresses of code are kept (4 MB). Found addresses are remembered, so that nearly all stacks need no search.
 */
import { createReadStream } from 'node:fs'
import { firstIndex } from '../../../config/base/search.ts'

export interface KernelFunction {
  /** '' if it is not known. */
  readonly symbol: string
  readonly offset: number
}

const UNKNOWN: KernelFunction = { symbol: '', offset: 0 }
/** A kernel address less this is a safe integer of JavaScript. */
const BASE = 0xffff_0000_0000_0000n
const BASE_HIGH = 0xffff_0000
const TWO_32 = 0x1_0000_0000
/** No function is longer. Code that is farther from a symbol is missing in the file, such as the code of BPF programs. */
const MAX_FUNCTION_BYTES = 64 << 10
const MAX_REMEMBERED = 16_384
/** More symbols than any kernel has. */
const MAX_SYMBOLS = 1 << 20
const LOOK_MS = 10_000

interface Table {
  /** Addresses less BASE, in no order. */
  readonly addresses: Float64Array
  /** Ends of their names. */
  readonly ends: Uint32Array
  readonly names: Buffer
}

export interface KernelSymbolsOptions {
  /** /proc/kallsyms */
  readonly file: string
  /** Changes when a module came or went. */
  readonly modules: () => string
  readonly warn: (message: string) => void
  /** Monotonic. */
  readonly nowMs?: () => number
}

export class KernelSymbols {
  readonly #options: KernelSymbolsOptions
  readonly #nowMs: () => number
  readonly #remembered = new Map<bigint, KernelFunction>()
  #table: Promise<Table> | undefined
  #modules = ''
  #lookedMs = -Infinity
  #warned = false

  constructor(options: KernelSymbolsOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? ((): number => performance.now())
  }

  /** The functions of all these addresses at once; undefined if that needs `find`. */
  remembered(addresses: readonly bigint[]): readonly KernelFunction[] | undefined {
    this.#look()
    const found = addresses.map((address) => this.#remembered.get(address))
    return found.every((known) => known !== undefined) ? found : undefined
  }

  async find(addresses: readonly bigint[]): Promise<readonly KernelFunction[]> {
    const table = await this.load()
    const found = new Map(addresses.map((address) => [address, this.#remembered.get(address)]))
    const missing = [...found].flatMap(([address, known]) => (known === undefined ? address : []))
    if (this.#remembered.size + missing.length > MAX_REMEMBERED) this.#remembered.clear()
    search(table, missing).forEach((known, i) => {
      const address = missing[i] ?? 0n
      found.set(address, known)
      this.#remembered.set(address, known)
    })
    return addresses.map((address) => found.get(address) ?? UNKNOWN)
  }

  /** Has the file read again after a change of the modules. */
  #look(): void {
    const now = this.#nowMs()
    if (now - this.#lookedMs < LOOK_MS) return
    this.#lookedMs = now
    const modules = this.#options.modules()
    if (modules === this.#modules) return
    this.#modules = modules
    this.#remembered.clear()
    this.#table = undefined
  }

  /** Reads the file, if it is not read. Never rejects. */
  load(): Promise<Table> {
    this.#look()
    return (this.#table ??= readTable(this.#options.file).then(
      (table) => {
        if (table.addresses.length === 0)
          this.#warn('it hides addresses; give the agent CAP_SYSLOG, and set kernel.kptr_restrict to 1 or 0')
        return table
      },
      (error: unknown) => {
        this.#warn(String(error))
        return { addresses: new Float64Array(), ends: new Uint32Array(), names: Buffer.alloc(0) }
      },
    ))
  }

  #warn(why: string): void {
    if (this.#warned) return
    this.#warned = true
    this.#options.warn(`stack traces lack the names of kernel functions: ${this.#options.file}: ${why}`)
  }
}

/** Reads in pieces, as the kernel gives them: the event loop has a turn between two. */
async function readTable(file: string): Promise<Table> {
  const addresses: number[] = []
  const ends: number[] = []
  const names: string[] = []
  let length = 0
  const take = (line: string): void => {
    const symbol = parseSymbol(line)
    if (symbol === undefined || addresses.length >= MAX_SYMBOLS) return
    addresses.push(symbol.address)
    names.push(symbol.name)
    length += symbol.name.length
    ends.push(length)
  }
  let rest = ''
  const pieces = createReadStream(file, { encoding: 'latin1' })
  for await (const piece of pieces as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(take)
  }
  take(rest)
  return {
    addresses: Float64Array.from(addresses),
    ends: Uint32Array.from(ends),
    names: Buffer.from(names.join(''), 'latin1'),
  }
}

const CODE = 'tTwW'

/** `ffffffff81000000 T name\t[module]`; undefined if it is no code, has a hidden address, or is a BPF program (these come and go). */
function parseSymbol(line: string): { readonly address: number; readonly name: string } | undefined {
  if (!CODE.includes(line[17] ?? '-')) return undefined
  const high = Number.parseInt(line.slice(0, 8), 16)
  const low = Number.parseInt(line.slice(8, 16), 16)
  if (!(high >= BASE_HIGH) || Number.isNaN(low)) return undefined
  const tab = line.indexOf('\t', 19)
  if (tab >= 0 && line.endsWith('[bpf]')) return undefined
  return { address: (high - BASE_HIGH) * TWO_32 + low, name: line.slice(19, tab < 0 ? undefined : tab) }
}

/** The last symbol before each address. One pass over all symbols, whatever their order. */
function search({ addresses, ends, names }: Table, wanted: readonly bigint[]): KernelFunction[] {
  const sorted = Float64Array.from(wanted, (address) => Number(address - BASE)).toSorted()
  const best = new Int32Array(sorted.length).fill(-1)
  addresses.forEach((address, i) => {
    const at = firstIndex(sorted.length, (k) => (sorted[k] ?? 0) >= address)
    const before = best[at]
    if (before !== undefined && (before < 0 || address > (addresses[before] ?? 0))) best[at] = i
  })
  let last = -1
  const found = new Map<number, KernelFunction>()
  sorted.forEach((target, k) => {
    const here = best[k] ?? -1
    if (here >= 0) last = here
    const offset = target - (addresses[last] ?? -Infinity)
    if (offset >= MAX_FUNCTION_BYTES) return
    const symbol = names.toString('latin1', last === 0 ? 0 : ends[last - 1], ends[last])
    found.set(target, { symbol, offset })
  })
  return wanted.map((address) => found.get(Number(address - BASE)) ?? UNKNOWN)
}
