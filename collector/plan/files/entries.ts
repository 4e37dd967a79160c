/** The kernel side's map entries for the paths of identity filters (bpf/frame/identity.h). */
import {
  IDENTITY,
  IDENTITY_FILTERS,
  IDENTITY_NAME,
  IDENTITY_NAME_BYTES,
  IDENTITY_SCREEN,
  IDENTITY_WORDS,
} from '../../wire/wire.ts'
import { structBytes } from '../map-entries.ts'

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

export const identityKey = ({ ino, dev, generation }: FileIdentity): Buffer =>
  structBytes(IDENTITY, { ino, dev, generation })

interface Entry {
  readonly key: Buffer
  readonly wanted: FilterBits
  /** Number of its path in policies; 0 for none. */
  readonly named: number
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
    const key = structBytes(IDENTITY_NAME, { folder: identityKey(folder), name: bytes })
    add(this.#names, key, wanted, named)
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
    const bytes = structBytes(IDENTITY_SCREEN, { devices: this.#devices, unknown, round, sticky })
    this.#hashes.files.forEach((word, i) => bytes.writeBigUInt64LE(word, IDENTITY_SCREEN.files + 8 * i))
    this.#hashes.folders.forEach((word, i) => bytes.writeBigUInt64LE(word, IDENTITY_SCREEN.folders + 8 * i))
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
  const valueOf = ({ wanted, named }: Entry): Buffer => structBytes(IDENTITY_FILTERS, { ...wanted, named })
  return new Map([...from].map(([text, entry]) => [text, { key: entry.key, value: valueOf(entry) }]))
}
