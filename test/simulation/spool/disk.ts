/**
 * A disk in memory that loses data like a real one. Unsynced data may be lost in a crash: each write separately, whole
 * or torn, in any order; each name separately. Any step can be made to fail, to be the last one, or to hang until `thaw`.
 */
import type { FileFacts, SpoolFile, SpoolFiles } from '../../../exporters/buffer/disk/files/files.ts'
import type { Lock } from '../../../exporters/buffer/disk/files/lock.ts'
import type { Seeded } from './random.ts'

type Change = { readonly at: number; readonly bytes: Buffer } | { readonly size: number }

let made = 0

class Inode {
  /** The content that a reader sees. */
  data: Buffer = Buffer.alloc(0)
  /** The synced content, and writes that are not synced yet. */
  safe: Buffer = Buffer.alloc(0)
  pending: Change[] = []
  mtimeMs = 0
  readonly id: number = made++
  /** A sync has failed: some of `data` may never become durable. */
  doubtful = false
}

/** The faults, as probabilities of each step. */
export interface Faults {
  read: number
  write: number
  shortWrite: number
  sync: number
  other: number
  /** Writes beyond this many bytes in all files fail with ENOSPC. */
  capacity: number
  /** Steps until the crash. */
  crashAfter: number
}

export const NO_FAULTS: Readonly<Faults> = {
  read: 0,
  write: 0,
  shortWrite: 0,
  sync: 0,
  other: 0,
  capacity: Infinity,
  crashAfter: Infinity,
}

export class Disk {
  faults: Faults = { ...NO_FAULTS }
  /** Settles at the crash; until `restart` no step ends any more. */
  crashed: Promise<void>
  down = false
  steps = 0
  nowMs = 0
  /** Number of injected faults, from which the caller sees whether an error was expected. */
  injected = 0
  /** A file's sync has failed since the last restart. */
  syncFailed = false
  /** Number of injected faults that a reader sees. */
  injectedReads = 0
  #names = new Map<string, Inode>()
  #safeNames = new Map<string, Inode>()
  #pendingNames: Array<{ readonly set?: readonly [string, Inode]; readonly gone?: string }> = []
  #locked = false
  readonly #folders = new Set<string>()
  #life = 0
  #frozen: PromiseWithResolvers<void> | undefined
  #fall: () => void = () => undefined
  readonly #random: Seeded

  constructor(random: Seeded) {
    this.#random = random
    this.crashed = new Promise((resolve) => (this.#fall = resolve))
  }

  /** The file system as the spool sees it, until the next crash. */
  get files(): SpoolFiles {
    const life = this.#life
    return {
      open: (path, how) =>
        this.#step(
          life,
          this.faults.other,
          'EIO',
          () => this.#open(life, path, how),
          () => void this.injectedReads++,
        ),
      mkdir: (path) => this.#step(life, 0, 'EIO', () => void this.#folders.add(path)),
      readdir: (path) =>
        this.#step(life, 0, 'EIO', () => {
          const prefix = `${path}/`
          const inside = [...this.#names.keys()].filter((name) => name.startsWith(prefix))
          return inside.map((name) => name.slice(prefix.length)).filter((name) => !name.includes('/'))
        }),
      rename: (from, to) =>
        this.#step(life, this.faults.other, 'EIO', () => {
          const inode = this.#must(from)
          this.#names.delete(from)
          this.#names.set(to, inode)
          this.#pendingNames.push({ set: [to, inode], gone: from })
        }),
      unlink: (path) =>
        this.#step(life, this.faults.other, 'EIO', () => {
          this.#must(path)
          this.#names.delete(path)
          this.#pendingNames.push({ gone: path })
        }),
      stat: (path) =>
        this.#step(life, this.#folders.has(path) ? 0 : this.faults.other, 'EIO', () =>
          this.#folders.has(path) ? { id: path, size: 0, mtimeMs: 0 } : factsOf(this.#must(path)),
        ),
      syncFolder: () => this.#step(life, this.faults.sync, 'EIO', () => this.#settleNames(() => true)),
      free: () => this.#step(life, 0, 'EIO', () => Math.max(0, this.faults.capacity - this.used)),
      lock: () =>
        this.#step(life, 0, 'EIO', (): Lock | { heldBy: number } => {
          if (this.#locked) return { heldBy: 1 }
          this.#locked = true
          return { release: () => this.#step(life, 0, 'EIO', () => void (this.#locked = false)) }
        }),
    }
  }

  get used(): number {
    let sum = 0
    for (const { data } of this.#names.values()) sum += data.length
    return sum
  }

  get paths(): readonly string[] {
    return [...this.#names.keys()]
  }

  /** The content of a file, for checks. */
  bytesOf(path: string): Buffer {
    return this.#must(path).data
  }

  /** Creates a synced file. */
  put(path: string, bytes: Buffer): void {
    const inode = new Inode()
    inode.data = Buffer.from(bytes)
    inode.safe = Buffer.from(bytes)
    this.#names.set(path, inode)
    this.#safeNames.set(path, inode)
  }

  remove(path: string): void {
    this.#names.delete(path)
    this.#safeNames.delete(path)
  }

  /** From here on no step ends, as on an unreachable file server. */
  freeze(): void {
    this.injected++
    this.#frozen ??= Promise.withResolvers()
  }

  thaw(): void {
    this.#frozen?.resolve()
    this.#frozen = undefined
  }

  /** Flips one bit of one file, in memory and on the disk. Returns its path. */
  flipBit(random: Seeded, which: (path: string) => boolean): string | undefined {
    const path = random.pick(this.paths.filter((one) => which(one) && this.bytesOf(one).length > 0))
    if (path === undefined) return undefined
    const inode = this.#must(path)
    const at = random.int(inode.data.length)
    const bit = 1 << random.int(8)
    inode.data = flipped(inode.data, at, bit)
    inode.safe = flipped(inode.safe, at, bit)
    return path
  }

  /**
   * The power returns: only some unsynced data is kept. `tame`: only the process ended, and all data is kept.
   * If a sync has failed and its file is still used, no later process could find out: then power is lost too.
   * Returns whether it was tame.
   */
  restart(wantTame: boolean): boolean {
    const tame = wantTame && ![...this.#names.values()].some(({ doubtful }) => doubtful)
    const random = this.#random
    if (!tame) {
      this.#settleNames(() => random.chance(0.5))
      const ordered = random.chance(0.4)
      for (const inode of new Set(this.#safeNames.values())) {
        let lost = false
        for (const one of inode.pending) {
          // Either as a log (a prefix survives) or as pages (each by itself).
          if (ordered ? (lost ||= random.chance(0.3)) : random.chance(0.5)) continue
          apply(inode, random.chance(0.3) ? torn(one, random) : one)
        }
        inode.pending = []
        inode.data = inode.safe
        inode.doubtful = false
      }
      this.#names = new Map(this.#safeNames)
    }
    this.#locked = false
    this.syncFailed = false
    this.#life++
    this.down = false
    this.faults = { ...NO_FAULTS }
    this.thaw()
    this.crashed = new Promise((resolve) => (this.#fall = resolve))
    return tame
  }

  #must(path: string): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw failed('ENOENT', path)
    return inode
  }

  #open(life: number, path: string, how: 'create' | 'replace' | 'write' | 'read'): SpoolFile {
    let inode = this.#names.get(path)
    if (how === 'create' && inode !== undefined) throw failed('EEXIST', path)
    if (inode === undefined) {
      if (how === 'write' || how === 'read') throw failed('ENOENT', path)
      inode = new Inode()
      this.#names.set(path, inode)
      this.#pendingNames.push({ set: [path, inode] })
    } else if (how === 'replace') change(inode, { size: 0 })
    inode.mtimeMs = this.nowMs
    return this.#handle(life, inode, how !== 'read')
  }

  #handle(life: number, inode: Inode, writable: boolean): SpoolFile {
    return {
      write: (buffers, position) =>
        this.#step(life, this.faults.write, 'EIO', () => {
          if (!writable) throw failed('EBADF', 'write')
          let bytes = Buffer.concat(buffers)
          if (bytes.length > 1 && this.#random.chance(this.faults.shortWrite)) {
            this.injected++
            bytes = bytes.subarray(0, 1 + this.#random.int(bytes.length - 1))
          }
          const room = this.faults.capacity - this.used
          const grows = Math.max(0, position + bytes.length - inode.data.length)
          if (grows > room) {
            this.injected++
            bytes = bytes.subarray(0, Math.max(0, bytes.length - Math.ceil(grows - room)))
            if (bytes.length === 0) throw failed('ENOSPC', 'write')
          }
          change(inode, { at: position, bytes: Buffer.from(bytes) })
          inode.mtimeMs = this.nowMs
          return bytes.length
        }),
      read: (into, position) =>
        this.#step(
          life,
          this.faults.read,
          'EIO',
          () => inode.data.copy(into, 0, position, position + into.length),
          () => void this.injectedReads++,
        ),
      sync: () =>
        this.#step(
          life,
          this.faults.sync,
          'EIO',
          () => {
            for (const one of inode.pending) apply(inode, one)
            inode.pending = []
          },
          // The kernel has dropped some pages and treats them as clean: they stay readable and are never written.
          () => {
            inode.pending = inode.pending.filter(() => this.#random.chance(0.5))
            inode.doubtful = true
            this.syncFailed = true
          },
        ),
      truncate: (size) => this.#step(life, this.faults.other, 'EIO', () => change(inode, { size })),
      stat: () =>
        this.#step(
          life,
          this.faults.other,
          'EIO',
          () => factsOf(inode),
          () => void this.injectedReads++,
        ),
      close: () => this.#step(life, 0, 'EIO', () => undefined),
    }
  }

  #settleNames(survives: () => boolean): void {
    for (const { set, gone } of this.#pendingNames) {
      if (!survives()) continue
      if (gone !== undefined) this.#safeNames.delete(gone)
      if (set !== undefined) this.#safeNames.set(set[0], set[1])
    }
    this.#pendingNames = []
  }

  async #step<T>(life: number, failure: number, code: string, run: () => T, onFailure?: () => void): Promise<T> {
    await this.#frozen?.promise
    // Operations of an ended process must not continue.
    if (life !== this.#life) return new Promise<never>(() => undefined)
    if (this.down || this.steps++ >= this.faults.crashAfter) {
      this.down = true
      this.#fall()
      return new Promise<never>(() => undefined)
    }
    if (failure > 0 && this.#random.chance(failure)) {
      this.injected++
      onFailure?.()
      throw failed(code, 'injected')
    }
    return run()
  }
}

function change(inode: Inode, one: Change): void {
  inode.pending.push(one)
  inode.data = changed(inode.data, one)
}

function apply(inode: Inode, one: Change): void {
  inode.safe = changed(inode.safe, one)
}

function changed(bytes: Buffer, one: Change): Buffer {
  const size = 'size' in one ? one.size : Math.max(bytes.length, one.at + one.bytes.length)
  // Always a new buffer: data that a reader has received must not change later.
  const out = Buffer.alloc(size)
  bytes.copy(out, 0, 0, size)
  if ('bytes' in one) one.bytes.copy(out, one.at)
  return out
}

/** Some part of a write; the other bytes keep their value, or are zero past the end. */
function torn(one: Change, random: Seeded): Change {
  if ('size' in one || one.bytes.length < 2) return one
  const from = random.chance(0.5) ? 0 : random.int(one.bytes.length)
  const to = from + 1 + random.int(one.bytes.length - from)
  return { at: one.at + from, bytes: one.bytes.subarray(from, to) }
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const out = Buffer.from(bytes)
  if (at < out.length) out[at] = (out[at] ?? 0) ^ bit
  return out
}

function factsOf(inode: Inode): FileFacts {
  return { id: String(inode.id), size: inode.data.length, mtimeMs: inode.mtimeMs }
}

function failed(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
