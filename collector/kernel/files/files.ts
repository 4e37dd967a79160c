/**
 * The files that SameFile and UnderDir name, as the kernel side knows them (bpf/frame/identity.h). Made with the first policy that has such a
 * filter, and removed with the last.
 *
 * A path matches in two ways: as its present file, and by its name in its folder. So a file that replaces it matches from its
 * first moment. Both are resolved anew every few seconds. The agent searches for files below a folder that have several links. Programs in
 * the kernel follow later links and renames.
 */
import { Mutex } from '../../../config/base/mutex.ts'
import type { IdentityFilter, Policy } from '../../../config/policy/policy.ts'
import { NativeError, builtFile } from '../../../native/index.ts'
import type { BpfMap, BpfObject, ObjectOptions, PathWorker } from '../../../native/types.ts'
import { CollectorError } from '../../errors.ts'
import { u32 } from '../../wire/bytes.ts'
import { IDENTITY_FILTERS } from '../../wire/wire.ts'
import type { KernelFacts } from '../../plan/facts.ts'
import type { Finding } from '../watched/finding.ts'
import { identityFiltersOf } from '../../plan/layout/selector.ts'
import { entriesOf } from '../../plan/map-entries.ts'
import { KeptMap } from '../watched/kept-map.ts'
import { WatchedLink, addRuns } from '../watched/watched-link.ts'
import type { Runs } from '../watched/watched-link.ts'
import type { Constants, SharedMaps } from '../../plan/objects.ts'
import { FilterBits, PathNumbers } from '../../plan/files/bits.ts'
import { WantedFiles } from '../../plan/files/entries.ts'
import { LinkedFiles } from './linked.ts'
import { Reach } from './reach.ts'
import { Resolver, Seen, hostRoot } from './resolve.ts'
import type { Resolved, WatchedFolder } from './resolve.ts'
import { sizesOf } from '../../plan/files/sizes.ts'

/** Most paths that one line of the log names. */
const MOST_NAMED = 3
/** Maps that the programs of functions share. */
const SHARED = [
  'identities',
  'identity_names',
  'linked',
  'left_files',
  'gone_files',
  'identity_screen',
  'linked_news',
] as const
export type FileMaps = Readonly<Record<(typeof SHARED)[number], BpfMap>>

export interface FilesOptions {
  readonly facts: KernelFacts
  readonly constants: Constants
  readonly openObject: (path: string, options: ObjectOptions) => Promise<BpfObject>
  /** Path of the host's proc file system; default `/proc`. */
  readonly procfs?: string
  /** Default: one of the addon. */
  readonly pathWorker?: PathWorker
  /** For the log. */
  readonly warn?: (detail: object, message: string) => void
  readonly debug?: (detail: object, message: string) => void
  /** Monotonic; default `performance.now()`. */
  readonly nowMs?: () => number
}

/**
 * Pause between the starts of two checks, for each path. A path takes 0.1 ms of CPU, which is 1 % of this pause. It depends on the number of paths,
 * not on measured time, which includes waits for the CPU: a loaded host would check after minutes.
 */
const PAUSE_MS_A_PATH = 10
/** Longest wait of a policy for the search of its folders. */
const LOOK_MS = 10_000

interface Loaded {
  readonly object: BpfObject
  readonly links: readonly WatchedLink[]
  readonly maps: FileMaps
  /** The maps that only user space writes. */
  readonly kept: Readonly<Record<'identities' | 'identity_names' | 'identity_screen', KeptMap>>
  readonly reach: Reach
  readonly resolver: Resolver
  readonly linked: LinkedFiles
}

export class Files {
  readonly #options: FilesOptions
  readonly #shared: Pick<SharedMaps, 'ring' | 'cpu_state' | 'processes'>
  readonly #warn: NonNullable<FilesOptions['warn']>
  readonly #nowMs: () => number
  readonly #bits = new FilterBits()
  #loaded: Loaded | undefined
  /** Entries of the maps, by map and key. */
  #written: { readonly files: Map<string, Buffer>; readonly names: Map<string, Buffer> } = {
    files: new Map(),
    names: new Map(),
  }
  /** Paths as of the last write. */
  #resolved: ReadonlyMap<string, Resolved> = new Map()
  /** Paths that were reported as missing. */
  readonly #missing = new Set<string>()
  readonly #numbers = new PathNumbers()
  #past: ReadonlyMap<string, Runs> = new Map()
  /** One change at a time. */
  readonly #changes = new Mutex()
  #busy = false
  #lookedMs = 0

  constructor(options: FilesOptions, shared: Pick<SharedMaps, 'ring' | 'cpu_state' | 'processes'>) {
    this.#options = options
    this.#shared = shared
    this.#warn = options.warn ?? (() => {})
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** A path of a policy by its number in records. */
  pathOf(number: number): string | undefined {
    return this.#numbers.pathOf(number)
  }

  readonly bitOf = (filter: IdentityFilter): bigint => this.#bits.bitOf(filter)

  /** Shared by the programs of all functions; undefined while no policy has such a filter. */
  get maps(): FileMaps | undefined {
    return this.#loaded?.maps
  }

  /** Links of the programs that follow files; empty while no policy has such a filter. */
  get links(): readonly WatchedLink[] {
    return this.#loaded?.links ?? []
  }

  /** Runs of these programs, also of detached ones, by name. */
  runs(): ReadonlyMap<string, Runs> {
    const runs = new Map(this.#past)
    for (const link of this.links) addRuns(runs, link.on, link.runs())
    return runs
  }

  /** Finds and repairs changes of the maps by other processes, and finds missing links. */
  check(): Finding[] {
    if (this.#loaded === undefined) return []
    const { links, kept } = this.#loaded
    return [...links, ...Object.values(kept)].flatMap((each) => each.check())
  }

  /** Resolves when the kernel knows the files of these policies. Rejects with POLICY_REFUSED; then nothing changes. */
  async add(policies: readonly Policy[]): Promise<void> {
    const taken: IdentityFilter[] = []
    const made: IdentityFilter[] = []
    try {
      for (const { file, hooks } of policies) {
        for (const filter of hooks.flatMap(identityFiltersOf)) {
          if (this.#bits.take({ file }, filter)) made.push(filter)
          taken.push(filter)
        }
      }
      if (taken.length === 0) return
      this.#loaded ??= await this.#load()
      await this.#changes.run(() => this.#write())
      // From here on the bits mean the new filters in the kernel; earlier, a rename used them for a removed filter.
      const bits = made.reduce((all, filter) => all | this.#bits.bitOf(filter), 0n)
      forgetLeft(this.#loaded.maps.left_files, bits)
    } catch (error) {
      for (const filter of taken) this.#bits.release(filter)
      if (!(error instanceof NativeError)) throw error
      const sentence = 'SameFile and UnderDir of these policies do not fit into this kernel'
      throw new CollectorError('POLICY_REFUSED', `${sentence}: ${error.message}`, { cause: error })
    }
    await this.#loaded.linked.known(LOOK_MS)
  }

  /** Call it when no program uses the filters of these policies any more. */
  remove(policies: readonly Policy[]): void {
    const gone = policies.flatMap(({ hooks }) => hooks.flatMap(identityFiltersOf))
    for (const filter of gone) this.#bits.release(filter)
    if (gone.length > 0 && this.#bits.all().length === 0) this.close()
  }

  /**
   * Follows changes; call it every two to six seconds. With hundreds of paths only some calls do (docs/reference/policy/files-by-identity.md has the
   * bound). Never rejects.
   */
  async refresh(): Promise<void> {
    const loaded = this.#loaded
    const nowMs = this.#nowMs()
    const notBeforeMs = this.#lookedMs + PAUSE_MS_A_PATH * this.#resolved.size
    if (loaded === undefined || this.#busy || nowMs < notBeforeMs) return
    this.#busy = true
    this.#lookedMs = nowMs
    try {
      await this.#changes.run(() => this.#write())
      if (this.#loaded === loaded) loaded.linked.lookIfMoved()
    } catch (error) {
      this.#warn({ error: String(error) }, 'the files of SameFile and UnderDir cannot be followed for now')
    }
    this.#busy = false
  }

  async #load(): Promise<Loaded> {
    const { facts, constants, openObject } = this.#options
    const { rename_lock_address = Buffer.alloc(8), mount_lock_address = Buffer.alloc(8) } = constants
    const { ring, cpu_state, processes } = this.#shared
    const kind = facts.fprobe ? 'kprobe.multi' : 'kprobe'
    const followers = facts.security ? (['file_link', 'file_rename', 'file_unlink'] as const) : []
    if (!facts.security) {
      this.#warn({}, 'this kernel has no security hooks: new hard links are found only at the next scan')
    }
    const object = await openObject(builtFile('files.bpf.o'), {
      programs: [
        { name: 'file_identify', kind: 'run' },
        { name: 'file_known', kind: 'run' },
        ...followers.map((name) => ({ name, kind }) as const),
      ],
      constants: { rename_lock_address, mount_lock_address, asks_files: u32(1), asks_sticky: u32(1) },
      sharedMaps: { ring, cpu_state, processes },
      ...sizesOf(facts),
    })
    using undo = new DisposableStack()
    undo.use(object)
    const links: WatchedLink[] = []
    for (const name of followers) {
      const symbol = name.replace('file_', 'security_inode_')
      links.push(undo.use(new WatchedLink(await object.attach(name, [symbol]), name)))
    }
    const maps = Object.fromEntries(SHARED.map((name) => [name, undo.use(object.map(name))])) as FileMaps
    const { procfs = '/proc', pathWorker: worker } = this.#options
    const reach = new Reach({ procfs, nowMs: this.#nowMs, warn: this.#warn, worker })
    const resolver = new Resolver(object, hostRoot(procfs), reach)
    const linked = new LinkedFiles({
      maps,
      resolver,
      readFolder: (path) => reach.ask(path, (paths, bytes) => paths.readFolder(bytes)),
      rewrite: () => this.#changes.run(() => this.#write()),
      clearUnknown: (filters) => void object.run('file_known', filters),
      warn: this.#warn,
      nowMs: this.#nowMs,
    })
    const kept = {
      identities: new KeptMap(maps.identities),
      identity_names: new KeptMap(maps.identity_names),
      identity_screen: new KeptMap(maps.identity_screen, { additions: false }),
    }
    undo.move()
    return { object, links, maps, kept, reach, resolver, linked }
  }

  /** Resolves all paths, and writes the files that they lead to, and no others, into the maps. */
  async #write(): Promise<void> {
    const loaded = this.#loaded
    if (loaded === undefined) return
    const { kept, maps, resolver, linked } = loaded
    const filters = this.#bits.all()
    const gone = [...entriesOf(maps.gone_files)].map(([key]) => key)
    const resolved = new Map<string, Resolved>()
    const seen = new Seen()
    const paths = new Set(filters.flatMap(({ filter }) => filter.values))
    this.#numbers.keep(paths)
    for (const path of paths) {
      const found = await resolver.resolve(path, seen)
      // A path that was resolved before is watched on: its file system may hang, or the agent may have waited for the CPU.
      resolved.set(path, found.late === true ? (this.#resolved.get(path) ?? found) : found)
    }
    if (this.#loaded !== loaded) return
    this.#resolved = resolved
    this.#reportMissing(resolved)
    const wanted = new WantedFiles()
    const folders = new Map<string, WatchedFolder>()
    let sticky = 0n
    for (const { bit, filter } of filters) {
      if (filter.sticky === true) sticky |= bit
      const all = filter.operator === 'UnderDir'
      const asked = { own: all ? 0n : bit, below: all ? bit : 0n }
      for (const value of filter.values) {
        const found = resolved.get(value)
        if (found === undefined) continue
        const { file, folder, name, path } = found
        const named = this.#numbers.of(value)
        if (file !== undefined) wanted.file(file, asked, named)
        if (folder !== undefined) wanted.name(folder, name, asked, named)
        if (all && file?.isFolder === true) {
          const before = folders.get(path)
          folders.set(path, { filters: (before?.filters ?? 0n) | bit, named: before?.named ?? named })
        }
      }
    }
    // Adds new entries, then writes the screen that lets calls get there, then removes old entries.
    const next = { files: new Map<string, Buffer>(), names: new Map<string, Buffer>() }
    const old: Array<() => void> = []
    for (const [map, entries, before, after] of [
      [kept.identities, wanted.files, this.#written.files, next.files],
      [kept.identity_names, wanted.names, this.#written.names, next.names],
    ] as const) {
      for (const [text, { key, value }] of entries) {
        after.set(text, value)
        if (before.get(text)?.equals(value) !== true) map.update(key, value)
      }
      for (const text of before.keys()) if (!after.has(text)) old.push(() => map.delete(Buffer.from(text, 'latin1')))
    }
    kept.identity_screen.update(u32(0), wanted.screen(linked.unknown, linked.round, sticky))
    for (const drop of old) drop()
    for (const key of gone) maps.gone_files.delete(key)
    this.#written = next
    linked.follow(folders)
  }

  /** Reports each missing path once, the new ones in one line. The library has many that do not exist: these are named for level debug. */
  #reportMissing(resolved: ReadonlyMap<string, Resolved>): void {
    const fresh: Record<'absent' | 'failed', Array<readonly [path: string, why: string]>> = { absent: [], failed: [] }
    for (const [path, { file, missing = '', isAbsent }] of resolved) {
      if (file !== undefined) this.#missing.delete(path)
      else if (!this.#missing.has(path)) fresh[isAbsent === true ? 'absent' : 'failed'].push([path, missing])
      if (file === undefined) this.#missing.add(path)
    }
    const { absent, failed } = fresh
    const count = absent.length
    const paths = Object.fromEntries(absent)
    const sentence = 'files or folders of policies do not exist; nothing to do: they are watched from their creation on'
    if (count > 0) this.#warn(count > MOST_NAMED ? { count } : { paths }, sentence)
    if (count > MOST_NAMED) this.#options.debug?.({ paths }, 'files or folders of policies do not exist')
    if (failed.length === 0) return
    const first = { count: failed.length, paths: Object.fromEntries(failed.slice(0, MOST_NAMED)) }
    this.#warn(first, 'files or folders of policies cannot be found, and will be watched when they can')
  }

  close(): void {
    const loaded = this.#loaded
    if (loaded === undefined) return
    this.#past = this.runs()
    this.#loaded = undefined
    this.#written = { files: new Map(), names: new Map() }
    loaded.linked.close()
    loaded.reach.close()
    loaded.resolver.close()
    for (const link of loaded.links) link[Symbol.dispose]()
    for (const map of Object.values(loaded.maps)) map.close()
    loaded.object.close()
  }
}

/** Clears these bits in all entries of `left_files` (bpf/match/identities.h): they were other filters' before. Only the kernel side adds to it. */
export function forgetLeft(map: Pick<BpfMap, 'info' | 'part' | 'update' | 'delete'>, filters: bigint): void {
  for (const [key, entry] of entriesOf(map)) {
    const before = entry.readBigUInt64LE(IDENTITY_FILTERS.below)
    if ((before & filters) === 0n) continue
    const value = Buffer.from(entry)
    value.writeBigUInt64LE(before & ~filters, IDENTITY_FILTERS.below)
    if ((before & ~filters) === 0n) map.delete(key)
    else map.update(key, value)
  }
}
