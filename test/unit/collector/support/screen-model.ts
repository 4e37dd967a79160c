/** The first pass of bpf/match/path.h in TypeScript, on the bytes of a struct hook. */
import { PREFIX, HOOK, NO_ARG, PART, PATH_SCREEN, SUFFIX } from '../../../../collector/kernel/wire.ts'

/** A file as seen by the walk. */
export interface RealPath {
  /** Components from the task's root on; none: the root itself, or a pipe. */
  readonly names: readonly string[]
  /** Unlinked: the text gets the mark, the names do not. */
  readonly deleted: boolean
  /** The name of the file's own dentry if the file is the root of a mount; the text has the mount point's. */
  readonly boundFrom: string | undefined
}

/** The text for the exact filters. */
export function textOf(path: RealPath): string {
  if (path.names.length === 0) return ''
  return path.names.map((name) => `/${name}`).join('') + (path.deleted ? ' (deleted)' : '')
}

/** The 8 bytes at a name: after its NUL are older bytes. */
function bytesAt(name: Buffer, from: number): bigint {
  return Buffer.concat([name, Buffer.from([0]), Buffer.alloc(8, 0xa5)]).readBigUInt64LE(from)
}

function partMatches(hook: Buffer, at: number, name: Buffer): boolean {
  const len = hook.readUInt32LE(at + PART.len)
  if (hook.readUInt32LE(at + PART.open) === 0 ? name.length !== len : name.length < len) return false
  return ((bytesAt(name, 0) ^ hook.readBigUInt64LE(at + PART.word)) & hook.readBigUInt64LE(at + PART.mask)) === 0n
}

function prefixMatches(hook: Buffer, at: number, names: readonly Buffer[]): boolean {
  if (
    names.length < hook.readUInt16LE(at + PREFIX.depthMin) ||
    names.length > hook.readUInt32LE(at + PREFIX.depthMax)
  ) {
    return false
  }
  for (let i = 0; i < hook.readUInt16LE(at + PREFIX.parts); i++) {
    const name = names[i]
    // Here the kernel would read an old slot of its ring of dentries: no filter may compare it.
    if (name === undefined) throw new Error(`part ${i} of a path of ${names.length} components`)
    if (!partMatches(hook, at + PREFIX.part + i * PART.bytes, name)) return false
  }
  return true
}

function suffixMatches(hook: Buffer, at: number, leaf: Buffer): boolean {
  const len = hook.readUInt32LE(at + SUFFIX.len)
  if (hook.readUInt32LE(at + SUFFIX.exact) === 0 ? leaf.length < len : leaf.length !== len) return false
  const bytes =
    leaf.length >= 8
      ? bytesAt(leaf, leaf.length - 8)
      : BigInt.asUintN(64, bytesAt(leaf, 0) << BigInt(64 - 8 * leaf.length))
  return ((bytes ^ hook.readBigUInt64LE(at + SUFFIX.word)) & hook.readBigUInt64LE(at + SUFFIX.mask)) === 0n
}

/** Whether the first pass passes the path to the exact filters. */
export function passes(hook: Buffer, path: RealPath): boolean {
  if (hook[HOOK.screen + PATH_SCREEN.arg] === NO_ARG) return true
  if (path.names.length === 0) return false
  const names = path.names.map((name) => Buffer.from(name))
  const prefixes = Array.from(
    { length: hook[HOOK.screen + PATH_SCREEN.nprefixes] ?? 0 },
    (_, i) => HOOK.screen + PATH_SCREEN.prefixes + i * PREFIX.bytes,
  )
  const suffixes = Array.from(
    { length: hook[HOOK.screen + PATH_SCREEN.nsuffixes] ?? 0 },
    (_, i) => HOOK.screen + PATH_SCREEN.suffixes + i * SUFFIX.bytes,
  )
  if (prefixes.some((at) => prefixMatches(hook, at, names))) return true
  if (suffixes.length > 0 && path.boundFrom !== undefined) return true
  const leaf = names.at(-1)
  return leaf !== undefined && suffixes.some((at) => suffixMatches(hook, at, leaf))
}
