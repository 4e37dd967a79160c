/**
 * The access of a call to its file, decoded from the hooked function and its arguments, so that "who read it" needs no body. Only certain
 * accesses count: a function that is not listed, or whose deciding argument the policy does not show, has no access.
 *
 * Sources: include/linux/lsm_hook_defs.h (arguments of `security_*`), include/linux/fs.h (MAY_*), include/uapi/asm-generic/mman-common.h.
 */
import type { Argument, Hook } from '../../contract/event.ts'

interface Meaning {
  readonly access: string
  /** Indexes of the arguments that name the function's file, and the second file (rename, link), as texts. */
  readonly names: readonly number[]
}

/**
 * Functions with one meaning. System calls are listed without the architecture's prefix. The numbers after a colon are the arguments that
 * name files as texts: `sys_renameat:1,3`.
 */
const MEANING: Readonly<Record<string, Meaning>> = byFunction({
  read: 'vfs_read vfs_readv vfs_iter_read',
  write: 'vfs_write vfs_writev vfs_iter_write vfs_fallocate sys_fallocate',
  execute: 'security_bprm_check security_bprm_creds_for_exec security_bprm_creds_from_file sys_execve:0 sys_execveat:1',
  open: 'security_file_open may_open do_filp_open:1 do_sys_open:1 do_sys_openat2:1 sys_open:0 sys_openat:1 sys_openat2:1 sys_open_by_handle_at',
  truncate:
    'security_path_truncate security_file_truncate vfs_truncate do_truncate do_sys_truncate:0 sys_truncate:0 sys_ftruncate',
  create:
    'security_path_mknod security_path_mkdir security_path_symlink security_inode_create security_inode_mknod security_inode_mkdir ' +
    'security_inode_symlink vfs_create vfs_mknod vfs_mkdir vfs_symlink vfs_tmpfile ' +
    'do_mknodat:1 do_mkdirat:1 do_symlinkat:2 sys_creat:0 sys_mknod:0 sys_mknodat:1 sys_mkdir:0 sys_mkdirat:1 sys_symlink:1 sys_symlinkat:2',
  link: 'security_path_link security_inode_link vfs_link do_linkat:1,3 sys_link:0,1 sys_linkat:1,3',
  unlink:
    'security_path_unlink security_path_rmdir security_inode_unlink security_inode_rmdir vfs_unlink vfs_rmdir ' +
    'do_unlinkat:1 do_rmdir:1 sys_unlink:0 sys_unlinkat:1 sys_rmdir:0',
  rename:
    'security_path_rename security_inode_rename vfs_rename do_renameat2:1,3 sys_rename:0,1 sys_renameat:1,3 sys_renameat2:1,3',
  chmod: 'security_path_chmod chmod_common sys_chmod:0 sys_fchmod sys_fchmodat:1 sys_fchmodat2:1',
  chown: 'security_path_chown chown_common do_fchownat:1 sys_chown:0 sys_fchown sys_lchown:0 sys_fchownat:1',
  getattr: 'security_inode_getattr vfs_getattr',
  setattr: 'security_inode_setattr security_inode_file_setattr notify_change vfs_utimes vfs_fileattr_set',
  setxattr:
    'security_inode_setxattr security_inode_post_setxattr security_inode_removexattr vfs_setxattr vfs_removexattr ' +
    'sys_setxattr:0 sys_lsetxattr:0 sys_fsetxattr sys_setxattrat:1 sys_removexattr:0 sys_lremovexattr:0 sys_fremovexattr sys_removexattrat:1',
  setacl: 'security_inode_set_acl security_inode_remove_acl vfs_set_acl vfs_remove_acl',
  mount: 'security_sb_mount security_move_mount path_mount do_move_mount do_mount:1 sys_mount:1 sys_move_mount:1,3',
})

/** The access by the value of an argument; `flags` is undefined if the policy does not show them. */
type Decode = (value: number, flags: number | undefined) => string | undefined

interface Decoded {
  readonly index: number
  /** The argument with the flags of the mapping; absent: the function has none. */
  readonly flags?: number
  readonly decode: Decode
}

const BY_ARGUMENT: Readonly<Record<string, Decoded>> = {
  security_file_permission: { index: 1, decode: ofMask },
  security_mmap_file: { index: 1, flags: 2, decode: ofMapping },
  mmap_file: { index: 1, flags: 3, decode: ofMapping },
  security_file_mprotect: { index: 1, decode: ofMapping },
}

/** LSM hooks that `security_` does not make the function of the same arguments. */
const LSM_HOOKS: Readonly<Record<string, string>> = {
  bprm_check_security: 'security_bprm_check',
  mmap_file: 'mmap_file',
}

const MAY_WRITE = 2
const MAY_READ = 4

/** undefined for both bits or neither: it is not certain which access is made. */
function ofMask(mask: number): string | undefined {
  const way = mask & (MAY_READ | MAY_WRITE)
  return way === MAY_READ ? 'read' : way === MAY_WRITE ? 'write' : undefined
}

const PROT_READ = 1
const PROT_WRITE = 2
const PROT_EXEC = 4
const MAP_TYPE = 0xf
const MAP_PRIVATE = 2

/** The strongest of several. Writes to a private mapping do not reach the file. */
function ofMapping(prot: number, flags: number | undefined): string | undefined {
  const isPrivate = flags !== undefined && (flags & MAP_TYPE) === MAP_PRIVATE
  if ((prot & PROT_WRITE) !== 0 && !isPrivate) return 'map_write'
  if ((prot & PROT_EXEC) !== 0) return 'map_exec'
  return (prot & (PROT_READ | PROT_WRITE)) === 0 ? undefined : 'map_read'
}

/** How to decode the events of one hook; made once. Positions are those in an event's `args`; -1: not shown. */
export interface AccessPlan {
  readonly meaning: string | undefined
  readonly decode: Decode | undefined
  readonly at: number
  readonly flagsAt: number
  /** Positions of the texts that name files, at most two. */
  readonly namesAt: readonly number[]
  readonly isSecurityHook: boolean
}

const plans = new WeakMap<Hook, AccessPlan>()

export function accessPlan(hook: Hook): AccessPlan {
  let plan = plans.get(hook)
  if (plan === undefined) {
    const name = functionOf(hook)
    const by = Object.hasOwn(BY_ARGUMENT, name) ? BY_ARGUMENT[name] : undefined
    const meaning = Object.hasOwn(MEANING, name) ? MEANING[name] : undefined
    const shown = (index: number | undefined): number => (index === undefined ? -1 : hook.indexes.indexOf(index))
    plan = {
      meaning: meaning?.access,
      decode: by?.decode,
      at: shown(by?.index),
      flagsAt: shown(by?.flags),
      namesAt: (meaning?.names ?? []).map(shown).filter((at) => at >= 0),
      isSecurityHook: name.startsWith('security_'),
    }
    plans.set(hook, plan)
  }
  return plan
}

function functionOf({ type, functionName }: Hook): string {
  if (type !== 'process_lsm') return functionName.replace(/^__[a-z0-9]+_(?=sys_)/, '')
  return (Object.hasOwn(LSM_HOOKS, functionName) ? LSM_HOOKS[functionName] : undefined) ?? `security_${functionName}`
}

/** One of the words above, `map_read`, `map_write` or `map_exec`; undefined if it is not certain. */
export function fileAccess(
  { meaning, decode, at, flagsAt }: AccessPlan,
  args: readonly Argument[],
): string | undefined {
  if (meaning !== undefined || decode === undefined) return meaning
  const value = numberAt(args, at)
  return value === undefined ? undefined : decode(value, numberAt(args, flagsAt))
}

const EPERM = -1
const EACCES = -13

/** Whether a call on a file was refused. Security hooks return an error only to refuse; other functions may fail for other reasons. */
export function isRefused(
  { isSecurityHook }: AccessPlan,
  access: string | undefined,
  args: readonly Argument[],
  returned: Argument | undefined,
): boolean {
  if (access === undefined && !args.some(({ kind }) => kind === 'file')) return false
  const value = numberOf(returned)
  if (value === undefined) return false
  return isSecurityHook ? value < 0 : value === EPERM || value === EACCES
}

/** An index of -1 would leave the fast path of arrays. */
function numberAt(args: readonly Argument[], at: number): number | undefined {
  return at < 0 ? undefined : numberOf(args[at])
}

/** The value of an argument that is an integer. */
export function numberOf(argument: Argument | undefined): number | undefined {
  if (argument?.kind === 'number') return argument.value
  return argument?.kind === 'wide' ? Number(argument.value) : undefined
}

function byFunction(of: Readonly<Record<string, string>>): Record<string, Meaning> {
  return Object.fromEntries(
    Object.entries(of).flatMap(([access, functions]) =>
      functions.split(' ').map((each) => {
        const [name = '', names] = each.split(':')
        return [name, { access, names: names?.split(',').map(Number) ?? [] }]
      }),
    ),
  )
}
