/** Ways to reach a file: the names of test/fixtures/e2e/reach.c, with a description for readers. */

/** A way to reach a file, and whether a policy must report it. */
export interface Way {
  readonly name: string
  readonly words: string
  /** `UnderDir` of the watched folder, or `SameFile` of the file. */
  readonly by: 'UnderDir' | 'SameFile'
  readonly wanted: boolean
}

type Rows = ReadonlyArray<readonly [name: string, words: string]>

const REACHED: Rows = [
  ['w_open', 'by its path'],
  ['w_openat', 'by a name in an open folder'],
  ['w_relative', 'by a name in the working directory'],
  ['w_dots', 'by a path with `..` and double slashes'],
  ['w_symlink', 'by a symbolic link outside'],
  ['w_symlinked_folder', 'through a symbolic link to its folder'],
  ['w_proc_fd', 'by `/proc/self/fd/N`'],
  ['w_proc_root', 'by `/proc/self/root`'],
  ['w_proc_cwd', 'by `/proc/PID/cwd`'],
  ['w_proc_other_root', 'by `/proc/PID/root`, in a chroot'],
  ['w_link_before', 'by a hard link from before the policy'],
  ['w_link_after', 'by a hard link made since'],
  ['w_link_of_link', 'by a hard link of a hard link that is gone'],
  ['w_link_into', 'outside, after a hard link to it was made inside'],
  ['w_link_of_open', 'by a hard link made from `/proc/self/fd/N`'],
  ['w_link_unlinked_outside', 'by a descriptor of a hard link that is gone'],
  ['w_link_moved_in', 'outside, after a hard link of it was moved inside'],
  ['w_tmpfile_linked', 'by the descriptor of an unnamed file that got a name inside'],
  ['w_bind', 'by a bind mount of its folder'],
  ['w_bind_file', 'by a bind mount of itself'],
  ['w_bind_above', 'by a bind mount of the watched folder'],
  ['w_mount_namespace', 'by its path, in another mount namespace'],
  ['w_detached', 'in a detached mount (`open_tree`)'],
  ['w_detached_file', 'in a detached mount of itself'],
  ['w_detached_moved', 'in a detached mount that was attached elsewhere'],
  ['w_detached_nobody', 'in a detached mount, as nobody in a user namespace'],
  ['w_lazily_unmounted', 'in a bind mount that is no longer mounted'],
  ['w_chroot', 'in a chroot'],
  ['w_chroot_nobody', 'in a chroot, as nobody in a user namespace'],
  ['w_bind_nobody', 'by a bind mount, as nobody in a user namespace'],
  ['w_pivot', 'after pivot_root'],
  ['w_overlay_lower', 'through an overlay with its folder as lower layer'],
  ['w_overlay_lower_only', 'through a read-only overlay of its folder'],
  ['w_inherited', 'by a descriptor from the parent'],
  ['w_passed', 'by a descriptor from a socket'],
  ['w_taken', 'by a descriptor of another process (`pidfd_getfd`)'],
  ['w_handle', 'by a file handle'],
  ['w_handle_cold', 'by a file handle, while its folders are not in memory'],
  ['w_deleted', 'by a descriptor, unlinked'],
  ['w_tmpfile', 'unnamed (`O_TMPFILE`)'],
  ['w_made_later', 'made since'],
  ['w_deep', '100 folders deep'],
  ['w_moved_within', 'renamed'],
  ['w_moved_in', 'moved inside'],
  ['w_moved_in_open', 'by a descriptor, moved inside since'],
  ['w_folder_moved_in', 'in a folder that was moved inside'],
  ['w_exchanged', 'in a folder that was exchanged with one inside'],
  ['w_replaced', 'replaced by a rename'],
  ['w_write', 'written'],
  ['w_map', 'mapped'],
  ['w_execute', 'executed'],
  ['w_truncate', 'truncated by its path'],
  ['w_sendfile', 'by `sendfile`'],
  ['w_splice', 'by `splice`'],
  ['w_copy', 'by `copy_file_range`'],
  ['w_aio', 'by `io_submit`'],
]

const NOT_REACHED: Rows = [
  ['n_outside', 'a file elsewhere'],
  ['n_linked_outside', 'a hard link of a file elsewhere'],
  ['n_sibling', 'a file in a folder whose name begins the same'],
  ['n_moved_out', 'a file that was moved out'],
  ['n_folder_moved_out', 'a file of a folder that was moved out'],
  ['n_link_removed', 'a hard link of a file that is no longer inside'],
  ['n_link_of_moved_out', 'a hard link made after the file was moved out'],
  ['n_other_file_system', 'a file of another file system'],
  ['n_pipe', 'a pipe'],
  ['n_memory', 'a file in memory'],
  ['n_proc', 'a file of /proc'],
  ['n_overlay', 'a file of an overlay elsewhere'],
]

const SAME: Rows = [
  ['s_open', 'by its path'],
  ['s_link', 'by a hard link'],
  ['s_replaced', 'replaced by a rename'],
  ['s_made_later', 'not there when the policy was loaded'],
  ['s_bind', 'by a bind mount of its folder'],
]

const NOT_SAME: Rows = [
  ['ns_neighbour', 'another file of its folder'],
  ['ns_longer_name', 'a file whose name begins the same'],
]

const rowsOf = (rows: Rows, by: Way['by'], wanted: boolean): Way[] =>
  rows.map(([name, words]) => ({ name, words, by, wanted }))

export const WAYS: readonly Way[] = [
  ...rowsOf(REACHED, 'UnderDir', true),
  ...rowsOf(NOT_REACHED, 'UnderDir', false),
  ...rowsOf(SAME, 'SameFile', true),
  ...rowsOf(NOT_SAME, 'SameFile', false),
]

/** Reports on one kernel, by way; null: the kernel or the file system does not have the way. */
export interface Coverage {
  readonly kernel: string
  /** The file system. */
  readonly on: string
  readonly reported: Readonly<
    Record<string, { readonly identity: boolean | null; readonly name: boolean | null } | undefined>
  >
}
