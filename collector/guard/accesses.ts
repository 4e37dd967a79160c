/**
 * Accesses that the agent makes itself to see whether its hooks run: to its own entries in /proc, which nobody can create, rename or remove, and to
 * its own memory. Only an access that ends in its known way proves that the functions were called. Elsewhere a filter of
 * system calls, a read-only mount or a security module may have refused it before.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs'
import { atLeast } from '../plan/facts.ts'
import type { KernelFacts } from '../plan/facts.ts'

/** Error codes of the addon and of Node. */
const NO_DESCRIPTORS: ReadonlySet<unknown> = new Set(['NO_DESCRIPTORS', 'EMFILE', 'ENFILE'])
const [FILE, NONE] = ['/proc/self/comm', '/proc/self/ktrail']
/** A file and a folder that are on each kernel, in a folder that is not immutable as /proc/self itself is. */
const [NET_FILE, NET_FOLDER] = ['/proc/self/net/dev', '/proc/self/net/stat']

export interface Access {
  /** Functions that the access calls on every kernel with them. They are in another source file than their callers, so they cannot be inlined. */
  readonly calls: readonly string[]
  /** Functions beside their callers, in the same source file: some kernels have inlined them. Judged when they were seen to run before. */
  readonly mayCall: readonly string[]
  /** Returns whether the access reached the functions. Throws only without a free descriptor. */
  readonly make: () => boolean
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined)

export const lacksDescriptors = (error: unknown): boolean => NO_DESCRIPTORS.has(codeOf(error))

/** The code of the error, '' without one. */
function outcome(act: () => unknown): unknown {
  try {
    act()
    return ''
  } catch (error) {
    if (lacksDescriptors(error)) throw error
    return codeOf(error)
  }
}

const succeeds = (act: () => unknown) => (): boolean => outcome(act) === ''

/** Refused by the mode of the folder; with CAP_DAC_OVERRIDE by `code`, since a folder is no file. vfs_* checks both. */
const refused = (act: () => unknown, code: string) => (): boolean => ['EACCES', code].includes(String(outcome(act)))

/** Accesses, and the functions that they call on kernels of this version. security_path_* exist with CONFIG_SECURITY_PATH only. */
export const accesses = (facts: Pick<KernelFacts, 'version'>): readonly Access[] => [
  {
    calls: [
      'security_file_open',
      'fd_install',
      atLeast(facts, 6, 2) ? 'security_file_truncate' : 'security_path_truncate',
    ],
    mayCall: ['may_open'],
    // The text of comm stays as it is.
    make: succeeds(() => closeSync(openSync(FILE, 'w'))),
  },
  { calls: ['security_file_permission'], mayCall: ['vfs_read'], make: succeeds(() => readFileSync(FILE)) },
  {
    calls: ['security_mmap_file'],
    mayCall: [],
    // V8 maps the room of a buffer that may grow; memory of malloc may have been mapped before.
    make: succeeds(() => new ArrayBuffer(0, { maxByteLength: 4096 })),
  },
  {
    calls: [],
    // V8 makes used memory writable; it may have been writable before.
    mayCall: ['security_file_mprotect'],
    make: succeeds(() => new ArrayBuffer(0, { maxByteLength: 4096 }).resize(4096)),
  },
  { calls: ['security_inode_getattr'], mayCall: [], make: succeeds(() => statSync(FILE)) },
  { calls: ['security_inode_readlink'], mayCall: [], make: succeeds(() => readlinkSync('/proc/self')) },
  { calls: [], mayCall: ['iterate_dir'], make: succeeds(() => readdirSync('/proc/self/ns')) },
  {
    calls: ['security_path_chmod'],
    mayCall: ['chmod_common'],
    // FILE keeps its mode: EPERM. A filter of system calls would return it for NONE as well.
    make: () => outcome(() => chmodSync(NONE, 0o644)) === 'ENOENT' && outcome(() => chmodSync(FILE, 0o644)) === 'EPERM',
  },
  {
    calls: ['security_path_chown', 'security_inode_setattr', 'notify_change'],
    mayCall: ['chown_common'],
    // Keeps both owners. The unit's filter of system calls refuses it.
    make: succeeds(() => chownSync(FILE, -1, -1)),
  },
  {
    calls: ['security_inode_setattr', 'notify_change'],
    mayCall: ['vfs_utimes'],
    make: succeeds(() => utimesSync(FILE, new Date(), new Date())),
  },
  {
    calls: ['security_path_rename'],
    mayCall: ['vfs_rename'],
    make: refused(() => renameSync(NET_FILE, NET_FOLDER), 'EISDIR'),
  },
  { calls: ['security_path_unlink'], mayCall: ['vfs_unlink'], make: refused(() => unlinkSync(NET_FOLDER), 'EISDIR') },
  { calls: ['security_path_rmdir'], mayCall: ['vfs_rmdir'], make: refused(() => rmdirSync(NET_FILE), 'ENOTDIR') },
]
