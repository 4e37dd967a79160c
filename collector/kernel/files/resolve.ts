/**
 * Finds the identity of files in the kernel. The agent opens a path without any right to its content, and a program of files.bpf.c
 * identifies the opened file. So it works on every file system, and in the same way as the filters.
 */
import { readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { NativeError } from '../../../native/index.ts'
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import { fullPatience } from '../../../config/base/time/in-time.ts'
import type { Patience } from '../../../config/base/time/in-time.ts'
import { u32 } from '../../wire/bytes.ts'
import { IDENTIFIED, IDENTIFIED_NOTHING, IDENTIFIED_UNKEPT, IDENTITY } from '../../wire/wire.ts'
import type { FileIdentity } from '../../plan/files/entries.ts'
import { Unanswered } from './reach.ts'
import type { Reach } from './reach.ts'
import { realPathIn } from './real-path.ts'
import type { Targets } from './real-path.ts'

const { ENOENT, ENOTDIR } = constants.errno
const S_IFMT = 0o170000
const S_IFDIR = 0o040000

export interface Identified extends FileIdentity {
  readonly links: number
  readonly isFolder: boolean
  /** The kernel side had no room for it. */
  readonly isUnkept: boolean
}

/** A folder of filters. */
export interface WatchedFolder {
  readonly filters: bigint
  /** Number of its path in policies. */
  readonly named: number
}

/** A path of a policy as it is now. */
export interface Resolved {
  /** The path by which the agent finds it, with symbolic links followed. */
  readonly path: string
  readonly file: Identified | undefined
  /** The folder of the path, even if the path does not exist; absent for the root and if the folder does not exist. */
  readonly folder: Identified | undefined
  readonly name: string
  /** The reason why something is not known: `ENOENT: …`. */
  readonly missing?: string
  /** The reason is that nothing has this path. */
  readonly isAbsent?: boolean
  /** No answer in time: nothing is known. */
  readonly late?: boolean
}

/** Results of one check of many paths, which share most of their folders. */
export class Seen {
  readonly targets: Targets = new Map()
  readonly folders = new Map<string, Promise<Identified | undefined>>()
}

/**
 * The root of the host's files for the agent: '' if it has the host's mounts, else through pid 1. A unit with ProtectHome= or PrivateTmp=
 * does not have them, and a container has others.
 */
export function hostRoot(procfs: string): string {
  try {
    const [own, host] = ['/proc/self', join(procfs, '1')].map((of) => readlinkSync(join(of, 'ns', 'mnt')))
    return own === host ? '' : join(procfs, '1', 'root')
  } catch {
    // If it is not readable, the agent has only its own mounts.
    return ''
  }
}

export class Resolver {
  readonly #object: Pick<BpfObject, 'run'>
  readonly #identified: BpfMap
  readonly #root: string
  readonly #reach: Reach

  /** `root`: see hostRoot. */
  constructor(object: Pick<BpfObject, 'run' | 'map'>, root: string, reach: Reach) {
    this.#object = object
    this.#root = root
    this.#reach = reach
    this.#identified = object.map('identified')
  }

  /** The identity of a file that the agent has open. `below`: folders in which it was found; the kernel side keeps it if it has several links. */
  identify(fd: number, below: WatchedFolder = { filters: 0n, named: 0 }): Identified | undefined {
    const result = this.#object.run('file_identify', fd, below.filters, below.named)
    if (result === IDENTIFIED_NOTHING) return undefined
    const found = this.#identified.lookup(u32(0))
    if (found === undefined) return undefined
    return {
      ino: found.readBigUInt64LE(IDENTIFIED.identity + IDENTITY.ino),
      dev: found.readUInt32LE(IDENTIFIED.identity + IDENTITY.dev),
      generation: found.readUInt32LE(IDENTIFIED.identity + IDENTITY.generation),
      links: found.readUInt32LE(IDENTIFIED.links),
      isFolder: (found.readUInt32LE(IDENTIFIED.mode) & S_IFMT) === S_IFDIR,
      isUnkept: result === IDENTIFIED_UNKEPT,
    }
  }

  /** `identify` by path. Rejects with NativeError if there is none, and with Unanswered. */
  async identifyPath(
    path: string | Buffer,
    { patience, below }: { readonly patience?: Patience; readonly below?: WatchedFolder } = {},
  ): Promise<Identified | undefined> {
    const fd = await this.#reach.find(path, patience)
    try {
      return this.identify(fd, below)
    } finally {
      await this.#reach.release(path, fd)
    }
  }

  /** Never rejects: parts that do not exist are missing in the result. Takes at most seconds. Reads only paths that `seen` lacks. */
  async resolve(path: string, seen: Seen = new Seen()): Promise<Resolved> {
    try {
      return await this.#resolve(path, seen, fullPatience())
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error
      const missing = error.message
      return { path, file: undefined, folder: undefined, name: basename(path), missing, late: true }
    }
  }

  async #resolve(path: string, seen: Seen, patience: Patience): Promise<Resolved> {
    const readLink = (of: string): Promise<string | undefined> =>
      this.#reach.ask(of, (worker, bytes) => worker.readLink(bytes), patience)
    const real = await realPathIn(this.#root, path, readLink, seen.targets)
    const name = basename(real)
    const at = (where: string): string => `${this.#root}${where}`
    // The folder first: a file that appears in it meanwhile matches by its name.
    const folder = name === '' ? undefined : await this.#folder(at(dirname(real)), seen, patience)
    let why: NativeError | undefined
    const file = await this.#known(at(real), patience, (error) => (why = error))
    return {
      path: at(real),
      file,
      folder: folder?.isFolder === true ? folder : undefined,
      name,
      ...(why && { missing: why.message, isAbsent: [ENOENT, ENOTDIR].includes(why.errno) }),
    }
  }

  #folder(path: string, { folders }: Seen, patience: Patience): Promise<Identified | undefined> {
    const known = folders.get(path)
    if (known !== undefined) return known
    const folder = this.#known(path, patience)
    folders.set(path, folder)
    return folder
  }

  /** Undefined if nothing is there; rejects with Unanswered. */
  async #known(path: string, patience: Patience, why?: (error: NativeError) => void): Promise<Identified | undefined> {
    try {
      return await this.identifyPath(path, { patience })
    } catch (error) {
      if (!(error instanceof NativeError)) throw error
      why?.(error)
      return undefined
    }
  }

  close(): void {
    this.#identified.close()
  }
}
