/**
 * What a call does to its file, decoded from the hooked function and its arguments, so that "who read it" needs no body. Only what is
 * certain: a function that is not listed, or whose deciding argument the policy does not show, has no access.
 *
 * Sources: include/linux/lsm_hook_defs.h (arguments of `security_*`), include/linux/fs.h (MAY_*), include/uapi/asm-generic/mman-common.h.
 */
import type { Argument, Hook } from '../../contract/event.ts'

/** Functions with one meaning. System calls are listed without the architecture's prefix. */
const MEANING: Readonly<Record<string, string>> = byFunction({
  read: 'vfs_read vfs_readv vfs_iter_read',
  write: 'vfs_write vfs_writev vfs_iter_write vfs_fallocate sys_fallocate',
  execute: 'security_bprm_check security_bprm_creds_for_exec security_bprm_creds_from_file sys_execve sys_execveat',
  open: 'security_file_open may_open',
  truncate: 'security_path_truncate security_file_truncate vfs_truncate do_truncate sys_truncate sys_ftruncate',
  create:
    'security_path_mknod security_path_mkdir security_path_symlink security_inode_create security_inode_mknod security_inode_mkdir ' +
    'security_inode_symlink vfs_create vfs_mknod vfs_mkdir vfs_symlink vfs_tmpfile sys_creat sys_mknod sys_mknodat sys_mkdir sys_mkdirat sys_symlink ' +
    'sys_symlinkat',
  link: 'security_path_link security_inode_link vfs_link sys_link sys_linkat',
  unlink:
    'security_path_unlink security_path_rmdir security_inode_unlink security_inode_rmdir vfs_unlink vfs_rmdir sys_unlink sys_unlinkat sys_rmdir',
  rename: 'security_path_rename security_inode_rename vfs_rename sys_rename sys_renameat sys_renameat2',
  chmod: 'security_path_chmod chmod_common sys_chmod sys_fchmod sys_fchmodat sys_fchmodat2',
  chown: 'security_path_chown chown_common sys_chown sys_fchown sys_lchown sys_fchownat',
  getattr: 'security_inode_getattr vfs_getattr',
  setattr: 'security_inode_setattr security_inode_file_setattr notify_change vfs_utimes vfs_fileattr_set',
  setxattr:
    'security_inode_setxattr security_inode_removexattr vfs_setxattr vfs_removexattr sys_setxattr sys_lsetxattr sys_fsetxattr',
  setacl: 'security_inode_set_acl security_inode_remove_acl vfs_set_acl vfs_remove_acl',
  mount: 'security_sb_mount security_move_mount path_mount do_move_mount sys_mount sys_move_mount',
})

/** The access by the value of an argument; `other` is the value of the function's next one, undefined if the policy does not show it. */
type Decode = (value: number, other: number | undefined) => string | undefined

interface Decoded {
  /** Which argument of the function. */
  readonly index: number
  readonly decode: Decode
}

const BY_ARGUMENT: Readonly<Record<string, Decoded>> = {
  security_file_permission: { index: 1, decode: ofMask },
  security_mmap_file: { index: 1, decode: ofMapping },
  // The next argument is no flags here: whether the mapping is private is not shown.
  security_file_mprotect: { index: 1, decode: (protection) => ofMapping(protection, undefined) },
}

const MAY_WRITE = 2
const MAY_READ = 4

/** Of both at once, or of neither, it is not certain which is done. */
function ofMask(mask: number): string | undefined {
  const way = mask & (MAY_READ | MAY_WRITE)
  return way === MAY_READ ? 'read' : way === MAY_WRITE ? 'write' : undefined
}

const PROT_READ = 1
const PROT_WRITE = 2
const PROT_EXEC = 4
const MAP_TYPE = 0xf
const MAP_PRIVATE = 2

/** The strongest of several. What is written to a private mapping does not reach the file. */
function ofMapping(prot: number, flags: number | undefined): string | undefined {
  const isPrivate = flags !== undefined && (flags & MAP_TYPE) === MAP_PRIVATE
  if ((prot & PROT_WRITE) !== 0 && !isPrivate) return 'map_write'
  if ((prot & PROT_EXEC) !== 0) return 'map_exec'
  return (prot & (PROT_READ | PROT_WRITE)) === 0 ? undefined : 'map_read'
}

/** How to decode the events of one hook; made once. */
interface Plan {
  readonly meaning: string | undefined
  readonly decode: Decode | undefined
  /** Positions in an event's `args`; -1: not shown. */
  readonly at: number
  readonly otherAt: number
  readonly isSecurityHook: boolean
}

const plans = new WeakMap<Hook, Plan>()

function planOf(hook: Hook): Plan {
  let plan = plans.get(hook)
  if (plan === undefined) {
    const name = hook.functionName.replace(/^__[a-z0-9]+_(?=sys_)/, '')
    const by = Object.hasOwn(BY_ARGUMENT, name) ? BY_ARGUMENT[name] : undefined
    plan = {
      meaning: Object.hasOwn(MEANING, name) ? MEANING[name] : undefined,
      decode: by?.decode,
      at: by === undefined ? -1 : hook.indexes.indexOf(by.index),
      otherAt: by === undefined ? -1 : hook.indexes.indexOf(by.index + 1),
      isSecurityHook: name.startsWith('security_'),
    }
    plans.set(hook, plan)
  }
  return plan
}

/** One of the words above, `map_read`, `map_write` or `map_exec`; undefined if it is not certain. */
export function fileAccess(hook: Hook, args: readonly Argument[]): string | undefined {
  const { meaning, decode, at, otherAt } = planOf(hook)
  if (meaning !== undefined || decode === undefined) return meaning
  const value = numberOf(args[at])
  return value === undefined ? undefined : decode(value, numberOf(args[otherAt]))
}

const EPERM = -1
const EACCES = -13

/** Whether the call was refused. Security hooks return an error only to refuse; other functions may fail for other reasons. */
export function isDenied(hook: Hook, returned: Argument | undefined): boolean {
  const value = numberOf(returned)
  if (value === undefined) return false
  return planOf(hook).isSecurityHook ? value < 0 : value === EPERM || value === EACCES
}

function numberOf(argument: Argument | undefined): number | undefined {
  if (argument?.kind === 'number') return argument.value
  return argument?.kind === 'wide' ? Number(argument.value) : undefined
}

function byFunction(of: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(of).flatMap(([access, names]) => names.split(' ').map((name) => [name, access])),
  )
}
