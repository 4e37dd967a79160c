/**
 * Compact lines of accesses to files that Tetragon's client has no line for: emoji, label, the files, and the error of a refused call. The functions
 * are those of config/policies/optional/file-integrity.yaml and their kin.
 */
import { getSystemErrorMap } from 'node:util'
import type { Argument, HookEvent } from '../contract/event.ts'
import { printable } from '../../config/base/quoting.ts'
import { argumentText } from './arguments.ts'
import { numberOf } from './files/access.ts'

export interface Description {
  readonly emoji: string
  readonly label: string
  /** Printed after the binary, each with a leading space, even when empty. */
  readonly details: readonly string[]
}

const KINDS: ReadonlyArray<readonly [emoji: string, label: string, functions: string]> = [
  ['📬', 'open', 'may_open security_file_open'],
  ['🏃', 'execute', 'security_bprm_check'],
  ['📝', 'truncate', 'vfs_truncate do_truncate'],
  ['✨', 'create', 'security_path_mknod security_inode_create security_inode_mknod vfs_mknod vfs_tmpfile'],
  ['✨', 'mkdir', 'security_path_mkdir security_inode_mkdir vfs_mkdir'],
  ['✨', 'symlink', 'security_path_symlink security_inode_symlink vfs_symlink'],
  ['🔗', 'link', 'security_path_link security_inode_link vfs_link'],
  ['🗑', 'unlink', 'security_path_unlink security_inode_unlink vfs_unlink'],
  ['🗑', 'rmdir', 'security_path_rmdir security_inode_rmdir vfs_rmdir'],
  ['🚚', 'rename', 'security_path_rename security_inode_rename vfs_rename'],
  ['🔑', 'chmod', 'security_path_chmod chmod_common'],
  ['🔑', 'chown', 'security_path_chown chown_common'],
  ['🔑', 'setattr', 'security_inode_setattr security_inode_file_setattr notify_change vfs_utimes vfs_fileattr_set'],
  ['🔑', 'setxattr', 'security_inode_setxattr security_inode_post_setxattr vfs_setxattr'],
  ['🔑', 'removexattr', 'security_inode_removexattr vfs_removexattr'],
  ['🔑', 'setacl', 'security_inode_set_acl vfs_set_acl'],
  ['🔑', 'removeacl', 'security_inode_remove_acl vfs_remove_acl'],
  ['💾', 'mount', 'security_sb_mount path_mount'],
  ['💾', 'move_mount', 'security_move_mount do_move_mount'],
]

const BY_FUNCTION: ReadonlyMap<string, (event: HookEvent) => Description> = new Map([
  ...KINDS.flatMap(([emoji, label, functions]) =>
    functions.split(' ').map((name) => [name, (event: HookEvent) => described(emoji, label, event)] as const),
  ),
  ['security_file_mprotect', (event: HookEvent) => described('📝', `mprotect-${letters(event.args[1])}`, event)],
])

const PROT_LETTERS = [
  [1, 'r'],
  [2, 'w'],
  [4, 'x'],
] as const

/** `rwx` of a protection. */
export function letters(protection: Argument | undefined): string {
  const bits = numberOf(protection) ?? 0
  return PROT_LETTERS.map(([bit, letter]) => (bits & bit ? letter : '')).join('')
}

function described(emoji: string, label: string, { args, returned }: HookEvent): Description {
  const files = args.filter((argument) => argument.kind === 'file').map(({ path }) => printable(path))
  const failed = returned !== undefined && (numberOf(returned) ?? 0) < 0
  return { emoji, label, details: failed ? [...files, errorName(returned)] : files }
}

/** `EACCES`; of a number that is no error of the system, the number. */
function errorName(returned: Argument): string {
  const [name = ''] = getSystemErrorMap().get(numberOf(returned) ?? 0) ?? []
  return /^E[A-Z0-9]+$/.test(name) ? name : argumentText(returned)
}

/** undefined for other functions. */
export function describeFileAccess(event: HookEvent): Description | undefined {
  return BY_FUNCTION.get(event.hook.functionName)?.(event)
}
