/**
 * The content of files, for hooks with `fileDetails: {hash: sha256}`. A file is opened by its path, and read only if it is the one of the
 * call: the same file system, inode and generation. Reading happens on a separate thread.
 */
import type { Policy } from '../../../config/policy/policy.ts'
import { NativeError, builtFile } from '../../../native/index.ts'
import type { BpfObject, FileDigest, ObjectOptions } from '../../../native/types.ts'
import { fullPatience } from '../../../config/base/time/in-time.ts'
import type { Patience } from '../../../config/base/time/in-time.ts'
import type { SharedMaps } from '../../plan/objects.ts'
import { refusedAt } from '../../plan/refusal.ts'
import type { FileIdentity } from '../../plan/files/entries.ts'
import type { FilesOptions } from './files.ts'
import { Reach, Unanswered } from './reach.ts'
import { Resolver, hostRoot } from './resolve.ts'

/** A file as a call reached it. */
export interface ReachedFile {
  readonly identity: FileIdentity
  readonly path: Buffer
  /** Processes in whose root to try the path; then the host's is tried. */
  readonly pids: readonly number[]
}

/** The digest of a file, or the reason why it was not read: the file is not there, or not in time. */
export type Contents = FileDigest | { readonly missing: 'not_found' | 'unanswered' | 'late' }

interface Loaded {
  readonly object: BpfObject
  readonly reach: Reach
  readonly resolver: Resolver
}

type Shared = Pick<SharedMaps, 'ring' | 'cpu_state' | 'processes'>

const countOf = (policies: readonly Policy[]): number =>
  policies.reduce(
    (sum, { hooks }) => sum + hooks.filter(({ fileDetails }) => fileDetails?.hash !== undefined).length,
    0,
  )

export class FileContents {
  readonly #options: FilesOptions
  readonly #shared: Shared
  readonly #procfs: string
  readonly #hostRoot: string
  /** Number of hooks that need hashes. */
  #users = 0
  #loaded: Loaded | undefined

  constructor(options: FilesOptions, { ring, cpu_state, processes }: Shared) {
    this.#options = options
    this.#shared = { ring, cpu_state, processes }
    this.#procfs = options.procfs ?? '/proc'
    this.#hostRoot = hostRoot(this.#procfs)
  }

  /** Whether no hook needs hashes. */
  get idle(): boolean {
    return this.#users === 0
  }

  /** Rejects with POLICY_REFUSED; then nothing changes. */
  async add(policies: readonly Policy[]): Promise<void> {
    const count = countOf(policies)
    if (count === 0) return
    try {
      this.#loaded ??= await this.#load()
    } catch (error) {
      const [at] = policies.flatMap(({ file, hooks }) =>
        hooks.flatMap(({ fileDetails }) => (fileDetails?.hash === undefined ? [] : { file, ...fileDetails.at })),
      )
      if (!(error instanceof NativeError) || at === undefined) throw error
      throw refusedAt(at, at, `fileDetails.hash does not fit into this kernel: ${error.message}`, error)
    }
    this.#users += count
  }

  /** Call it when no program serves these policies any more. */
  remove(policies: readonly Policy[]): void {
    this.#users -= countOf(policies)
  }

  close(): void {
    const loaded = this.#loaded
    this.#loaded = undefined
    if (loaded === undefined) return
    loaded.reach.close()
    loaded.resolver.close()
    loaded.object.close()
  }

  /** Never rejects. */
  async read({ identity, path: name, pids }: ReachedFile, maxBytes: number): Promise<Contents> {
    const { reach } = this.#loaded ?? {}
    if (reach === undefined) return { missing: 'late' }
    const patience = fullPatience()
    for (const root of [...pids.map((pid) => `${this.#procfs}/${pid}/root`), this.#hostRoot]) {
      const path = Buffer.concat([Buffer.from(root), name])
      try {
        const fd = await reach.find(path, patience)
        if (this.#isIt(fd, identity)) return await digestOf(reach, path, fd, maxBytes, patience)
        await reach.release(path, fd)
      } catch (error) {
        if (error instanceof Unanswered) return { missing: 'unanswered' }
        // The path does not exist in this root.
        if (!(error instanceof NativeError)) return { missing: 'unreadable' }
      }
    }
    return { missing: 'not_found' }
  }

  #isIt(fd: number, { ino, dev, generation }: FileIdentity): boolean {
    // Closed: no resolver.
    const found = this.#loaded?.resolver.identify(fd)
    return found?.ino === ino && found.dev === dev && found.generation === generation
  }

  async #load(): Promise<Loaded> {
    const { openObject, warn, nowMs } = this.#options
    const options: ObjectOptions = {
      programs: [{ name: 'file_identify', kind: 'run' }],
      sharedMaps: this.#shared,
      // Maps of programs that are not loaded here.
      mapSizes: { identities: 1, identity_names: 1, linked: 1, left_files: 1, gone_files: 1, file_walks: 1 },
    }
    using undo = new DisposableStack()
    const object = undo.use(await openObject(builtFile('files.bpf.o'), options))
    const reach = undo.adopt(new Reach({ procfs: this.#procfs, nowMs, warn }), (each) => each.close())
    const resolver = new Resolver(object, this.#hostRoot, reach)
    undo.move()
    return { object, reach, resolver }
  }
}

async function digestOf(
  reach: Reach,
  path: Buffer,
  fd: number,
  maxBytes: number,
  patience: Patience,
): Promise<FileDigest> {
  let isTaken = false
  try {
    return await reach.ask(path, (worker) => ((isTaken = true), worker.digest(fd, maxBytes)), patience)
  } finally {
    if (!isTaken) await reach.release(path, fd)
  }
}
