/**
 * Finds the files that contain the addresses of a process, and the functions in these files. They are read after the call, so nothing is
 * found if the process has ended.
 *
 * Constraints: a process can make a read of its list of mappings, or of a mapped file, take for ever. Each such read holds a thread of
 * Node's pool. So one list and one file are read at a time. A read that takes too long is left behind, and no other begins until it ends.
 */
import { constants } from 'node:fs'
import { giveUp } from '../../../config/base/time/answered.ts'
import { openRegular } from '../../../config/base/named-file.ts'
import { firstIndex } from '../../../config/base/search.ts'
import { inTime } from '../../../config/base/time/in-time.ts'
import { putNewest } from '../../host/newest.ts'
import { readMappings } from './mapped-files.ts'
import type { Mapping } from './mapped-files.ts'
import { symbolsAt } from './elf-symbols.ts'

export interface Code {
  readonly module: string
  readonly offset: number
  readonly symbol: string
}

/** Time limit per stack; code that is not found by then is left out. An event waits two seconds at most. */
const MAX_MS = 1500
/** Mappings that were just read are still valid. */
const KEEP_MS = 1000
const MAX_PROCESSES = 64
const MAX_FILES = 256
const MAX_OFFSETS = 2048

interface CachedMappings {
  readonly mappings: readonly Mapping[]
  readonly untilMs: number
}

export class UserCode {
  readonly #procfs: string
  readonly #nowMs: () => number
  readonly #lists = new Unhurried()
  readonly #files = new Unhurried()
  readonly #known = new Map<number, CachedMappings>()
  /** By device, inode and path: names by offset, '' for none. */
  readonly #symbols = new Map<string, Map<number, string>>()

  /** `nowMs`: monotonic. */
  constructor(procfs: string, nowMs: () => number = () => performance.now()) {
    this.#procfs = procfs
    this.#nowMs = nowMs
  }

  /** One call at a time. undefined for code that is not found. Never rejects. */
  async find(pid: number, addresses: readonly number[]): Promise<ReadonlyArray<Code | undefined>> {
    const distinct = [...new Set(addresses)]
    const untilMs = this.#nowMs() + MAX_MS
    const mappings = await this.#mappings(pid, distinct)
    const places = new Map(distinct.map((address) => [address, placeOf(mappings, address)]))
    const found = [...places.values()].filter((place) => place !== undefined)
    for (const [mapping, inFile] of Map.groupBy(found, (place) => place.mapping)) {
      const ms = untilMs - this.#nowMs()
      const offsets = inFile.map(({ offset }) => offset)
      if (ms > 0) await this.#readSymbols(pid, mapping, offsets, ms)
    }
    return addresses.map((address) => {
      const place = places.get(address)
      if (place === undefined) return undefined
      const { mapping, offset } = place
      return { module: mapping.path, offset, symbol: this.#symbols.get(keyOf(mapping))?.get(offset) ?? '' }
    })
  }

  async #mappings(pid: number, addresses: readonly number[]): Promise<readonly Mapping[]> {
    const known = this.#known.get(pid)
    const holds = known?.mappings.length && addresses.every((address) => placeOf(known.mappings, address) !== undefined)
    if (known !== undefined && holds && this.#nowMs() < known.untilMs) return known.mappings
    this.#known.delete(pid)
    const mappings = await this.#lists.run(() => readMappings(this.#procfs, pid), MAX_MS)
    if (mappings === undefined) return []
    putNewest(this.#known, pid, { mappings, untilMs: this.#nowMs() + KEEP_MS }, MAX_PROCESSES)
    return mappings
  }

  async #readSymbols(pid: number, mapping: Mapping, offsets: readonly number[], ms: number): Promise<void> {
    if (!mapping.path.startsWith('/')) return
    const key = keyOf(mapping)
    const known = this.#symbols.get(key) ?? new Map<number, string>()
    putNewest(this.#symbols, key, known, MAX_FILES)
    if (known.size + offsets.length > MAX_OFFSETS) known.clear()
    const missing = offsets.filter((offset) => !known.has(offset))
    if (missing.length === 0) return
    const path = `${this.#procfs}/${pid}/root${mapping.path}`
    // The names are stored even if no event waits any more, for the next stack.
    await this.#files.run(async () => {
      const found = await readSymbols(path, mapping, missing)
      for (const offset of missing) known.set(offset, found.get(offset) ?? '')
    }, ms)
  }
}

const keyOf = ({ device, inode, path }: Mapping): string => `${device} ${inode} ${path}`

/** Mappings are sorted. */
function placeOf(
  mappings: readonly Mapping[],
  address: number,
): { readonly mapping: Mapping; readonly offset: number } | undefined {
  const mapping = mappings[firstIndex(mappings.length, (i) => (mappings[i]?.end ?? 0) > address)]
  if (mapping === undefined || address < mapping.start) return undefined
  return { mapping, offset: address - mapping.start + mapping.offset }
}

/** Reads the file that is mapped, not another that has its name by now. It may be a pipe, a device or a link by now. */
async function readSymbols(path: string, { inode }: Mapping, offsets: readonly number[]): Promise<Map<number, string>> {
  await using file = await openRegular(path, constants.O_NOFOLLOW)
  const { ino } = await file.stat()
  return ino === inode ? await symbolsAt(file, offsets) : new Map()
}

/** Does not wait for a read that takes too long. */
class Unhurried {
  #behind = false

  /** undefined if it fails, if it takes longer, and while an earlier one that took longer has not ended. */
  async run<T>(read: () => Promise<T>, ms: number): Promise<T | undefined> {
    if (this.#behind) return undefined
    const result = read().catch(() => undefined)
    return inTime(result, ms, (over: PromiseWithResolvers<undefined>) => {
      this.#behind = true
      giveUp(result)
      void result.then(() => (this.#behind = false))
      over.resolve(undefined)
    })
  }
}
