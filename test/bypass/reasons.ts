/** Why a tool misses a way: a line for each limit of its design. */

export const NO_REASON = 'not explained'

type Reasons = ReadonlyArray<readonly [ways: RegExp, reason: string]>

const HARD_LINK = /^(?:w_link_|x_linked|a_chmod_linked|n_link_out|u_link)/
export const DESCRIPTOR: RegExp =
  /^(?:w_(?:link_unlinked_outside|inherited|passed|taken|deleted|tmpfile|tmpfile_linked|moved_in_open)|r_inherited_by_child|wr_inherited|t_ftruncate)$/
const MAPPED = /^p_protect_/
export const URING: RegExp = /^u_/
const HANDLE = /^w_handle/
const OVERLAY = /^w_overlay_/
const TIMES = /^(?:a_(?:utimes|futimens|flags)|d_utimes)$/
const MOUNTS = /^(?:o_|d_mount)/
const REFUSED = /^d_/
const ATTRIBUTES = /^a_|^u_setxattr$/
const ANY = /^/

const LINKS: readonly [RegExp, string] = [
  HARD_LINK,
  'a rule for a folder matches the folders of the path that the call used',
]
const NO_NAME = 'records of calls by an open descriptor name no file'
const AUDIT: Reasons = [
  [URING, 'rules for system calls do not see io_uring'],
  [DESCRIPTOR, NO_NAME],
  [MAPPED, 'a change of a mapping has no file in its record'],
  [HANDLE, 'an open by a handle has no name'],
]

const STATES: Reasons = [
  [ANY, 'a comparison of states sees no reads, attempts, or what is undone or in another mount namespace'],
]

const REASONS: Readonly<Record<string, Reasons>> = {
  'ktrail by name': [
    [HARD_LINK, 'the path of the call does not begin with the watched name'],
    [/^w_|^a_chmod_by_bind$/, 'in another mount, root or file system, the file has another path'],
    [ANY, 'the hooked function has the path from the root of its file system: it matches on the root file system only'],
  ],
  'auditd -w': [
    ...AUDIT,
    LINKS,
    [OVERLAY, 'an overlay is a file system with inodes of its own'],
    [TIMES, 'the classes of `-p rwxa` have no calls for times and flags'],
    [MOUNTS, 'the classes of `-p rwxa` have no calls for mounts'],
  ],
  'auditd -S': [
    ...AUDIT,
    [/^a_futimens$/, NO_NAME],
    [/^a_flags$/, 'flags are set by ioctl(2), which the rule does not list'],
  ],
  fatrace: [
    [MAPPED, 'fanotify has no event for mappings'],
    [MOUNTS, 'fanotify has no event for mounts in a mount namespace'],
    [REFUSED, 'fanotify reports what has been done, not attempts'],
    [ATTRIBUTES, 'fatrace does not request events about attributes'],
  ],
  inotifywait: [
    [/^w_(?:tmpfile_linked|handle_cold)$/, 'the opened file has no name in a folder'],
    [/^w_exchanged$/, 'the watch for a folder that an exchange brings may come too late'],
    [HARD_LINK, 'inotify watches a folder by its names: a hard link elsewhere is a name of another folder'],
    [MAPPED, 'inotify has no event for mappings'],
    [MOUNTS, 'inotify has no event for mounts'],
    [REFUSED, 'inotify reports what has been done, not attempts'],
  ],
  bpftrace: [
    [URING, 'io_uring opens without a system call for the open'],
    [DESCRIPTOR, 'the script sees opens; the process uses a descriptor that is open already'],
    [HANDLE, 'an open by a handle has no name'],
    [/^x_|^w_execute$|^d_execute$/, 'the script does not see executions'],
    [ANY, 'the script sees opens, no other calls'],
  ],
  AIDE: STATES,
  Samhain: STATES,
  Tripwire: STATES,
}

export const reasonOf = (tool: string, way: string): string =>
  REASONS[tool]?.find(([ways]) => ways.test(way))?.[1] ?? NO_REASON

/** Why a report names another path, or lacks program or user. */
export const LIMITS: ReadonlyArray<readonly [tools: string, limit: string]> = [
  ['ktrail', 'a record has the path of the call: after a hard link, bind mount or chroot it is another one'],
  [
    'ktrail',
    'calls that change names or extended attributes have the path from the root of their file system, here a mount',
  ],
  ['auditd', 'the name is as the program gave it: relative to an open folder, by a symbolic link, by /proc/self/fd/N'],
  ['fatrace', 'the user is not reported; the name of the program is read when the event arrives'],
  ['inotifywait', 'neither program nor user is reported'],
  ['bpftrace', 'the name is as the program gave it, before symbolic links, the working directory and the root'],
  ['AIDE, Samhain, Tripwire', 'neither program nor user is reported; the change is known at the next check'],
]

/** Explanations of the table about `kill -9`. */
export const KILLED_LIMITS: readonly string[] = [
  'ktrail, here with `envelope: true`: its programs in the kernel end with its process, so nothing is recorded until the next start. An audit reports the open end of the run, not its length.',
  'auditd: its rules stay in the kernel. With the kernel parameter `audit=1` the kernel keeps records for the next daemon, here up to 8,192.',
  'fatrace, inotifywait, bpftrace: their packages have no service that starts them again.',
  'AIDE, Samhain, Tripwire: SIGKILL ends a running check. The next one finds changes that are still there, and no reads.',
]
