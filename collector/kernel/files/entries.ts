/** The kernel side's map entries for the paths of identity filters (bpf/match/identity.h). */
import {
  IDENTITY,
  IDENTITY_FILTERS,
  IDENTITY_NAME,
  IDENTITY_NAME_BYTES,
  IDENTITY_SCREEN,
  IDENTITY_WORDS,
} from '../../wire/wire.ts'

/** The identity of a file in the kernel; stat shows another device on btrfs and overlayfs. */
export interface FileIdentity {
  readonly ino: bigint
  /** The super block's, as the kernel encodes it. */
  readonly dev: number
  readonly generation: number
}

/** Filters on the file of an entry's key: on itself, or on all below it too. */
export interface FilterBits {
  own: bigint
  below: bigint
}

const GOLDEN = 0x9e37_79b9_7f4a_7c15n
/** The hash of bits in screens; its upper bits depend on all of the number. */
export const hash = (number: bigint): bigint => BigInt.asUintN(64, number * GOLDEN)

export function identityKey({ ino, dev, generation }: FileIdentity): Buffer {
  const key = Buffer.alloc(IDENTITY.bytes)
  key.writeBigUInt64LE(ino, IDENTITY.ino)
  key.writeUInt32LE(dev, IDENTITY.dev)
  key.writeUInt32LE(generation, IDENTITY.generation)
  return key
}

function nameKey(folder: FileIdentity, name: Buffer): Buffer {
  const key = Buffer.alloc(IDENTITY_NAME.bytes)
  identityKey(folder).copy(key, IDENTITY_NAME.folder)
  name.copy(key, IDENTITY_NAME.name)
  return key
}

interface Entry {
  readonly key: Buffer
  readonly wanted: FilterBits
  /** Number of its path in policies; 0 for none. */
  readonly named: number
}

function wantedBytes({ wanted: { own, below }, named }: Entry): Buffer {
  const bytes = Buffer.alloc(IDENTITY_FILTERS.bytes)
  bytes.writeBigUInt64LE(own, IDENTITY_FILTERS.own)
  bytes.writeBigUInt64LE(below, IDENTITY_FILTERS.below)
  bytes.writeUInt32LE(named, IDENTITY_FILTERS.named)
  return bytes
}

type Entries = ReadonlyMap<string, { readonly key: Buffer; readonly value: Buffer }>

/** Collects the files and names of all filters. */
export class WantedFiles {
  readonly #files = new Map<string, Entry>()
  readonly #names = new Map<string, Entry>()
  #devices = 0n
  readonly #hashes = {
    files: Array.from({ length: IDENTITY_WORDS }, () => 0n),
    folders: Array.from({ length: IDENTITY_WORDS }, () => 0n),
  }

  /** Adds a file or folder of filters, and its file system. */
  file(file: FileIdentity, wanted: FilterBits, named: number): void {
    add(this.#files, identityKey(file), wanted, named)
    this.#seen('files', file, wanted)
  }

  /** Adds a name in a folder, for its present and later files. Names that are too long for an entry are left out, because no file has one. */
  name(folder: FileIdentity, name: string, wanted: FilterBits, named: number): void {
    const bytes = Buffer.from(name)
    if (bytes.length >= IDENTITY_NAME_BYTES) return
    add(this.#names, nameKey(folder, bytes), wanted, named)
    this.#seen('folders', folder, wanted)
  }

  #seen(what: 'files' | 'folders', { ino, dev }: FileIdentity, { own, below }: FilterBits): void {
    const hashed = hash(ino)
    const word = Number(hashed >> 62n)
    const words = this.#hashes[what]
    words[word] = (words[word] ?? 0n) | (1n << ((hashed >> 56n) & 63n))
    this.#devices |= 1n << (hash(BigInt(dev)) >> 58n)
    // If the folders of a file are not known, its file system still is.
    add(this.#files, identityKey({ ino: 0n, dev, generation: 0 }), { own: 0n, below: own | below }, 0)
  }

  get files(): Entries {
    return entriesOf(this.#files)
  }

  get names(): Entries {
    return entriesOf(this.#names)
  }

  /** struct identity_screen */
  screen(unknown: bigint, round: bigint, sticky: bigint = 0n): Buffer {
    const bytes = Buffer.alloc(IDENTITY_SCREEN.bytes)
    bytes.writeBigUInt64LE(this.#devices, IDENTITY_SCREEN.devices)
    this.#hashes.files.forEach((word, i) => bytes.writeBigUInt64LE(word, IDENTITY_SCREEN.files + 8 * i))
    this.#hashes.folders.forEach((word, i) => bytes.writeBigUInt64LE(word, IDENTITY_SCREEN.folders + 8 * i))
    bytes.writeBigUInt64LE(unknown, IDENTITY_SCREEN.unknown)
    bytes.writeBigUInt64LE(round, IDENTITY_SCREEN.round)
    bytes.writeBigUInt64LE(sticky, IDENTITY_SCREEN.sticky)
    return bytes
  }
}

function add(to: Map<string, Entry>, key: Buffer, more: FilterBits, named: number): void {
  const text = key.toString('latin1')
  const entry = to.get(text) ?? { key, wanted: { own: 0n, below: 0n }, named }
  entry.wanted.own |= more.own
  entry.wanted.below |= more.below
  to.set(text, entry)
}

function entriesOf(from: ReadonlyMap<string, Entry>): Entries {
  return new Map([...from].map(([text, entry]) => [text, { key: entry.key, value: wantedBytes(entry) }]))
}
