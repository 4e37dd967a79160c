/**
 * Kinds of access to a file below the watched folder: their names in test/fixtures/e2e/access.c, with the functions, one of which must report the
 * access.
 */

export interface Access {
  readonly name: string
  readonly words: string
  /** Absent: no event is allowed. */
  readonly calls?: RegExp
}

type Rows = ReadonlyArray<readonly [name: string, words: string]>

const seenBy = (calls: RegExp, rows: Rows): Access[] => rows.map(([name, words]) => ({ name, words, calls }))
const PERMISSION = /^security_file_permission$/
const OPEN = /^(?:may_open|security_file_open)$/
const CREATE = /^security_(?:path_mknod|inode_create)$/
const MKDIR = /^security_(?:path|inode)_mkdir$/
const RENAME = /^security_(?:path|inode)_rename$/
const TRUNCATE_OPEN = /^security_(?:file|path)_truncate$/
const MAP = /^security_mmap_file$/
const EXECUTE = /^security_bprm_check$/

export const CONTENT: readonly Access[] = [
  ...seenBy(PERMISSION, [
    ['r_read', '`read`'],
    ['r_readv', '`readv`'],
    ['r_preadv2', '`preadv2`'],
    ['r_nowait', '`preadv2` with `RWF_NOWAIT`'],
    ['r_tee', '`splice` and `tee`'],
    ['r_send_to_socket', '`sendfile` to a socket'],
    ['r_inherited_by_child', 'read by a forked child'],
    ['wr_pwrite', '`pwrite`'],
    ['wr_writev', '`writev`'],
    ['wr_pwritev2', '`pwritev2`'],
    ['wr_append', 'appended'],
    ['wr_sendfile', '`sendfile` into it'],
    ['wr_splice', '`splice` from a pipe into it'],
    ['wr_copy', '`copy_file_range` into it'],
    ['wr_fallocate', '`fallocate`'],
    ['wr_punch', '`fallocate` that punches a hole'],
    ['wr_aio', '`io_submit` that writes'],
    ['wr_inherited', 'written by an inherited descriptor'],
    ['l_clone_from', 'cloned (`FICLONE`)'],
    ['l_clone_to', 'overwritten by a clone (`FICLONE`)'],
    ['l_clone_range', 'cloned in part (`FICLONERANGE`)'],
  ]),
  ...seenBy(MAP, [
    ['wr_proc_mem', 'written by a shared mapping'],
    ['p_private', 'mapped privately'],
    ['p_write', 'mapped writable'],
    ['p_execute', 'mapped executable'],
    ['p_none', 'mapped without rights'],
    ['p_populate', 'mapped with `MAP_POPULATE`'],
  ]),
  ...seenBy(/^security_file_mprotect$/, [
    ['p_protect_write', 'a mapping without rights made writable (`mprotect`)'],
    ['p_protect_execute', 'a mapping without rights made executable (`mprotect`)'],
  ]),
  ...seenBy(TRUNCATE_OPEN, [
    ['t_ftruncate', '`ftruncate`'],
    ['t_open', '`open` with `O_TRUNC`'],
    ['t_creat', '`creat` of an existing file'],
  ]),
  ...seenBy(/^vfs_truncate$/, [
    ['t_truncate', '`truncate`'],
    ['t_longer', '`truncate` to a greater size'],
  ]),
  ...seenBy(EXECUTE, [
    ['x_execve', '`execve`'],
    ['x_execveat', '`execveat` of a descriptor'],
    ['x_script', 'executed as a script'],
    ['x_interpreter', 'executed as the interpreter of a script elsewhere'],
    ['x_linked', 'executed by a hard link outside'],
  ]),
  ...seenBy(MAP, [['x_loader', 'executed by `ld.so`']]),
  ...seenBy(PERMISSION, [
    ['u_read', 'io_uring: read'],
    ['u_read_polled', 'io_uring: read by the kernel thread that polls'],
    ['u_readv', 'io_uring: vectors read'],
    ['u_read_async', 'io_uring: read by a worker'],
    ['u_write', 'io_uring: written'],
    ['u_fallocate', 'io_uring: `fallocate`'],
    ['u_splice', 'io_uring: `splice`'],
  ]),
  ...seenBy(OPEN, [['u_open', 'io_uring: opened']]),
  ...seenBy(TRUNCATE_OPEN, [['u_truncate', 'io_uring: truncated (since 6.9)']]),
]

export const METADATA: readonly Access[] = [
  ...seenBy(CREATE, [
    ['n_create', 'created'],
    ['n_mknod', 'created by `mknod`'],
    ['n_fifo', 'a named pipe created'],
    ['n_socket', 'a socket bound'],
  ]),
  ...seenBy(MKDIR, [
    ['n_mkdir', 'a folder made'],
    ['u_mkdir', 'io_uring: a folder made'],
  ]),
  ...seenBy(/^vfs_symlink$/, [
    ['n_symlink', 'a symbolic link made'],
    ['u_symlink', 'io_uring: a symbolic link made'],
  ]),
  ...seenBy(/^vfs_tmpfile$/, [['n_tmpfile', 'a file without a name made (`O_TMPFILE`)']]),
  ...seenBy(/^vfs_link$/, [
    ['n_link_out', 'a hard link made outside'],
    ['n_link_in', 'a hard link of a file outside made inside'],
    ['u_link', 'io_uring: a hard link made outside'],
  ]),
  ...seenBy(/^vfs_unlink$/, [
    ['n_unlink', 'unlinked'],
    ['n_unlink_by_bind', 'unlinked by a bind mount'],
    ['n_unlink_in_chroot', 'unlinked in a chroot'],
    ['u_unlink', 'io_uring: unlinked'],
  ]),
  ...seenBy(/^vfs_rmdir$/, [['n_rmdir', 'a folder removed']]),
  ...seenBy(RENAME, [
    ['n_rename', 'renamed'],
    ['n_rename_out', 'moved out'],
    ['n_rename_in', 'a file moved inside'],
    ['n_rename_over', 'replaced by a file from outside'],
    ['n_exchange', 'exchanged with a file outside'],
    ['n_rename_folder', 'a folder moved out'],
    ['u_rename', 'io_uring: moved out'],
  ]),
  ...seenBy(/^chmod_common$/, [
    ['a_chmod', '`chmod`'],
    ['a_fchmod', '`fchmod`'],
    ['a_chmod_linked', '`chmod` by a hard link outside'],
    ['a_chmod_by_bind', '`chmod` by a bind mount'],
    ['a_chmod_folder', '`chmod` of its folder'],
  ]),
  ...seenBy(/^chown_common$/, [
    ['a_chown', '`chown`'],
    ['a_fchown', '`fchown`'],
    ['a_lchown', '`lchown` of a symbolic link'],
  ]),
  ...seenBy(/^vfs_utimes$/, [
    ['a_utimes', '`utimensat`'],
    ['a_futimens', '`futimens`'],
  ]),
  ...seenBy(/^vfs_setxattr$/, [
    ['a_setxattr', '`setxattr`'],
    ['a_fsetxattr', '`fsetxattr`'],
    ['a_setcap', 'capabilities given to it'],
    ['u_setxattr', 'io_uring: `setxattr`'],
  ]),
  ...seenBy(/^vfs_removexattr$/, [['a_removexattr', '`removexattr`']]),
  ...seenBy(/^vfs_set(?:_acl|xattr)$/, [['a_setacl', 'its ACL set']]),
  ...seenBy(/^vfs_remove(?:_acl|xattr)$/, [['a_removeacl', 'its ACL removed']]),
  ...seenBy(/^vfs_fileattr_set$/, [['a_flags', 'flags set (`chattr`)']]),
  ...seenBy(/^path_mount$/, [
    ['o_bind_over', 'another file bound over it'],
    ['o_mount_over', 'a file system mounted over its folder'],
    ['o_bind_nobody', 'a folder bound over its folder, as nobody in a user namespace'],
  ]),
  ...seenBy(/^security_move_mount$/, [['o_move_over', 'a detached mount moved over its folder']]),
]

export const REFUSED: readonly Access[] = [
  ...seenBy(/^may_open$/, [
    ['d_read', 'opened to read'],
    ['d_write', 'opened to write'],
    ['d_open_truncate', 'opened to truncate'],
    ['d_execute', 'executed'],
  ]),
  ...seenBy(/^vfs_truncate$/, [['d_truncate', 'truncated']]),
  ...seenBy(/^vfs_symlink$/, [['d_symlink', 'a symbolic link made']]),
  ...seenBy(/^vfs_link$/, [['d_link', 'a hard link made inside']]),
  ...seenBy(/^vfs_unlink$/, [['d_unlink', 'unlinked']]),
  ...seenBy(/^vfs_rename$/, [['d_rename', 'moved out']]),
  ...seenBy(/^chmod_common$/, [['d_chmod', '`chmod`']]),
  ...seenBy(/^chown_common$/, [['d_chown', '`chown`']]),
  ...seenBy(/^vfs_utimes$/, [['d_utimes', '`utimensat`']]),
  ...seenBy(/^vfs_setxattr$/, [['d_setxattr', '`setxattr`']]),
  ...seenBy(/^path_mount$/, [['d_mount', 'a file system mounted over its folder']]),
]

/** The attempt is reported. The kernel checks owner and mode after the function. */
export const REFUSED_LATER: readonly Access[] = [
  ...seenBy(CREATE, [['d_create', 'created']]),
  ...seenBy(MKDIR, [['d_mkdir', 'a folder made']]),
]

export const NONE: readonly Access[] = [
  { name: 'no_stat', words: '`stat`' },
  { name: 'no_path_only', words: '`open` with `O_PATH`' },
  { name: 'no_rename_outside', words: 'a file elsewhere renamed' },
  { name: 'no_chmod_outside', words: '`chmod` of a file elsewhere' },
  { name: 'no_create_outside', words: 'a file created elsewhere' },
  { name: 'no_unlink_outside', words: 'a file elsewhere unlinked' },
]
