/** Files as policies see them: the paths, and the values of `resolve` from a `struct file` or a `struct path`. */
import { release } from 'node:os'
import { atLeast } from '../../../../collector/plan/facts.ts'
import { parseRelease } from '../../../../collector/kernel/read-facts.ts'
import { kept } from '../../../e2e/support/paths.ts'
import type { Identity } from '../identity.ts'
import type { Value } from '../value.ts'
import type { Kind } from './tree.ts'

/** A file or folder on its own file system. */
export interface Place {
  readonly kind: Kind
  /** '' for its root. */
  readonly onFileSystem: string
  readonly name: string
  readonly identity: Identity
  readonly umask: number
  /** Mode of a folder that was not made by mkdir. */
  readonly mode?: number
}

const TYPES: Readonly<Record<Kind, { readonly fileType: string; readonly mode: number; readonly made: number }>> = {
  file: { fileType: 'reg', mode: 0o100000, made: 0o644 },
  folder: { fileType: 'dir', mode: 0o040000, made: 0o755 },
}

const MODE_WIDTH = { signed: false, bits: 16 }

/** Members by `resolve`, each with the types that fit; of arguments of type `file`, and of type `path`. */
export const FILE_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  f_path: ['path'],
  'f_path.dentry': ['dentry'],
  'f_path.dentry.d_name.name': ['string'],
  'f_inode.i_mode': ['uint16', 'int', 'uint32', 'sint64', 'uint8'],
}
export const PATH_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  dentry: ['dentry'],
  'dentry.d_name.name': ['string'],
  'dentry.d_inode.i_mode': ['uint16', 'uint32'],
}

function withMembers(path: Value, dentry: Value, name: string, mode: number): Value {
  const named: Value = { kind: 'text', text: name }
  const modes: Value = { kind: 'number', value: BigInt(mode), width: MODE_WIDTH }
  const members = {
    f_path: path,
    'f_path.dentry': dentry,
    'f_path.dentry.d_name.name': named,
    'f_inode.i_mode': modes,
    dentry,
    'dentry.d_name.name': named,
    'dentry.d_inode.i_mode': modes,
  }
  return { ...path, members }
}

/** A path that may not fit into a record. */
function pathValue(whole: string, fileType: string, identity: Identity): Value {
  const { text, flags } = kept(Buffer.from(whole, 'latin1'))
  const fits = flags === undefined
  return { kind: 'path', fileType, identity, ...(fits ? { text: whole } : { text, whole }) }
}

/** `seen`: its path for the process, '' for the process's root. */
export function fileValue(seen: string, { kind, onFileSystem, name, identity, umask, mode: own }: Place): Value {
  const { fileType, mode, made } = TYPES[kind]
  const path = pathValue(seen, fileType, identity)
  const dentry = pathValue(onFileSystem, fileType, identity)
  return withMembers(path, dentry, name, own ?? mode | (made & ~umask))
}

const DELETED = ' (deleted)'

export function deletedFile(seen: string, place: Place): Value {
  return fileValue(seen + DELETED, { ...place, onFileSystem: place.onFileSystem + DELETED })
}

/** Named after the protocol, which has another name since 5.15 (kernel commit 94531cfcbe79). */
const SOCKET_NAME = atLeast({ version: parseRelease(release()) }, 5, 15) ? 'UNIX-STREAM' : 'UNIX'

/** The standard output, a file without a path: Node gives its children sockets. */
export const output: Value = withMembers(
  { kind: 'path', text: '', fileType: 'sock' },
  { kind: 'path', text: '', fileType: 'sock' },
  SOCKET_NAME,
  0o140777,
)

/** No file at all. */
export const nothing: Value = { kind: 'path', text: '' }
