/** Finds files with several links of which one is below a watched folder, and forgets files that no longer are. */
import { systemClock } from '../../../config/base/time/clock.ts'
import { waitAtMost } from '../../../config/base/time/deadline.ts'
import type { BpfMap, FolderRead } from '../../../native/types.ts'
import { u32 } from '../../wire/bytes.ts'
import { LINKED_FILTERS, LINKED_NEWS, NAMED_MAX } from '../../wire/wire.ts'
import { entriesOf, structBytes } from '../../plan/map-entries.ts'
import { identityKey } from '../../plan/files/entries.ts'
import { linksBelow } from './links.ts'
import type { Looked } from './links.ts'
import { Unanswered } from './reach.ts'
import type { Resolver, WatchedFolder } from './resolve.ts'

/**
 * Pause between two searches, for each file, folder, and file with several links: twenty times the CPU that it takes. It depends on their number,
 * not on measured time, which includes waits for the CPU: a loaded host would search after minutes.
 */
const PAUSE_MS_A_FILE = 0.05
const PAUSE_MS_A_FOLDER = 1
const PAUSE_MS_A_LINK = 2
/** Pause without any sign of a change. */
const PAUSE_MS = 600_000
/** No number of renames. */
const NEVER = -1n
/** Pause after a search in a folder that did not answer. */
const UNANSWERED_PAUSE_MS = 60_000

export interface LinkedOptions {
  readonly maps: Readonly<Record<'linked' | 'linked_news', BpfMap>>
  readonly resolver: Pick<Resolver, 'identifyPath'>
  /** Rejects with Unanswered if the file system does not answer. */
  readonly readFolder: (path: Buffer) => Promise<FolderRead>
  /** Writes `round` and `unknown` to the kernel side. */
  readonly rewrite: () => Promise<void>
  /** Tells the kernel side that the table has all links of these filters. */
  readonly clearUnknown: (filters: bigint) => void
  readonly warn: (detail: object, message: string) => void
  /** Monotonic. */
  readonly nowMs: () => number
}

const pauseMs = ({ files, folders, links }: Looked): number =>
  PAUSE_MS_A_FILE * files + PAUSE_MS_A_FOLDER * folders + PAUSE_MS_A_LINK * links

export class LinkedFiles {
  readonly #options: LinkedOptions
  #folders: ReadonlyMap<string, WatchedFolder> = new Map()
  /** Number of the present search, not NO_ROUND; entries of earlier searches are forgotten at its end. */
  round = 1n
  /**
   * Filters without room, whose folders did not answer, or whose first search has not ended: every file with several links
   * matches them, marked.
   */
  unknown = 0n
  /** Filters with a completed search. */
  #known = 0n
  #looking: Promise<void> | undefined
  #again = false
  #closed = false
  #nextMs = 0
  #pauseMs = PAUSE_MS
  #moved = 0n
  /** Files that the present search has found, by key. */
  readonly #found = new Map<string, { readonly filters: bigint; readonly named: ReadonlySet<number> }>()

  constructor(options: LinkedOptions) {
    this.#options = options
  }

  /** Sets the folders. A new folder starts a search. */
  follow(folders: ReadonlyMap<string, WatchedFolder>): void {
    const isNew = [...folders].some(([path, { filters }]) => this.#folders.get(path)?.filters !== filters)
    this.#folders = folders
    if (isNew) this.#again = true
  }

  /** Searches if links may have moved into a folder or out of it, or if the last search was long ago. */
  lookIfMoved(): void {
    const now = this.#options.nowMs()
    if (now < this.#nextMs && !this.#again) return
    const { moved } = this.#news()
    if (moved === this.#moved && !this.#again && now < this.#nextMs + this.#pauseMs) return
    this.#moved = moved
    void this.look()
  }

  /** `moved`: renames that may have moved links; `kept`: links that the kernel side has added. */
  #news(): Record<'moved' | 'kept', bigint> {
    const news = this.#options.maps.linked_news.lookup(u32(0)) ?? Buffer.alloc(LINKED_NEWS.bytes)
    return { moved: news.readBigUInt64LE(LINKED_NEWS.moved), kept: news.readBigUInt64LE(LINKED_NEWS.kept) }
  }

  /** Starts a search. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  /** Resolves when all folders are searched, or after this time. */
  async known(ms: number): Promise<void> {
    // A running search may lack the newest folders.
    const all = async (): Promise<void> => {
      do await this.look()
      while (this.#again && !this.#closed)
    }
    await waitAtMost(all(), ms, systemClock)
  }

  async #look(): Promise<void> {
    const { warn, rewrite } = this.#options
    this.#again = false
    this.round++
    const bits = [...this.#folders.values()].reduce((all, { filters }) => all | filters, 0n)
    this.unknown = bits & ~this.#known
    let lacking = 0n
    let hasRoom = true
    this.#pauseMs = PAUSE_MS
    const before = this.#news()
    this.#found.clear()
    const looked: Looked = { files: 0, folders: 0, links: 0, unread: 0 }
    try {
      await rewrite()
      const folders = [...this.#folders]
      for (const [i, [folder, watched]] of folders.entries()) {
        const found = await this.#lookBelow(folder, watched, looked)
        if (found !== 'all') lacking |= watched.filters
        if (found === 'no_room') hasRoom = false
        if (found === 'unanswered') this.#pauseMs = UNANSWERED_PAUSE_MS
        if (this.#closed) return
        // A filter does not wait for the folders of others, which may be large.
        const waiting = folders.slice(i + 1).reduce((all, [, { filters }]) => all | filters, lacking)
        if ((this.unknown & ~waiting) === 0n) continue
        this.unknown &= waiting
        await rewrite()
      }
      // If a folder moved meanwhile, the search may have missed its files; then only the next search forgets.
      const { moved, kept } = this.#news()
      if (moved === before.moved) {
        this.#forget(kept === before.kept)
        if (hasRoom && kept === before.kept) this.#options.clearUnknown(bits & ~lacking)
      }
      this.#known = bits & ~lacking
      if (!hasRoom) {
        const sentence = 'the table of files with several links is full: all such files match UnderDir, with a mark'
        warn({ entries: this.#options.maps.linked.info.maxEntries }, sentence)
      }
      if (this.unknown !== lacking) {
        this.unknown = lacking
        await rewrite()
      }
    } catch (error) {
      if (!this.#closed) warn({ error: String(error) }, 'the search for hard links of watched folders failed')
    }
    this.#nextMs = this.#options.nowMs() + pauseMs(looked)
  }

  async #lookBelow(folder: string, watched: WatchedFolder, looked: Looked): Promise<'all' | 'no_room' | 'unanswered'> {
    let found: 'all' | 'no_room' = 'all'
    try {
      for await (const path of linksBelow(folder, looked, this.#options.readFolder)) {
        if (this.#closed) break
        if (!(await this.#keep(path, watched))) found = 'no_room'
      }
      return found
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error
      return 'unanswered'
    }
  }

  /** False if there is no room. */
  async #keep(path: Buffer, { filters, named }: WatchedFolder): Promise<boolean> {
    // The file may be gone.
    const file = await this.#options.resolver
      .identifyPath(path, { below: { filters, named } })
      .catch((error: unknown) => {
        if (error instanceof Unanswered) throw error
        return undefined
      })
    if (file === undefined || file.links < 2 || this.#closed) return true
    const key = identityKey(file).toString('latin1')
    const found = this.#found.get(key)
    this.#found.set(key, { filters: filters | (found?.filters ?? 0n), named: new Set(found?.named).add(named) })
    return !file.isUnkept
  }

  /**
   * Removes entries and filters that neither this search nor the kernel side has found since the search began. Filters that the kernel side
   * adds meanwhile may go with them: then the next search comes after the pause.
   */
  #forget(isQuiet: boolean): void {
    const { linked } = this.#options.maps
    const { kept } = this.#news()
    for (const [key, value] of entriesOf(linked)) {
      const round = value.readBigUInt64LE(LINKED_FILTERS.round)
      const found = this.#found.get(key.toString('latin1'))
      if (round < this.round) linked.delete(key)
      else if (isQuiet && found !== undefined && found.filters !== value.readBigUInt64LE(LINKED_FILTERS.filters)) {
        const named = Buffer.concat([...found.named].slice(0, NAMED_MAX).map(u32))
        linked.update(key, structBytes(LINKED_FILTERS, { filters: found.filters, round, named }))
      }
    }
    if (this.#news().kept !== kept) this.#moved = NEVER
  }

  close(): void {
    this.#closed = true
  }
}
