/**
 * Offsets and numbers of ring records and program constants: bpf/event.h, bpf/filter.h and bpf/maps.h once more.
 * test/unit/collector/kernel/wire.test.ts compares every line with the BTF of the built objects.
 * Offsets are in bytes from the start of the struct that the constant is named after.
 */

export const EVENT_EXEC = 1
export const EVENT_FORK = 2
export const EVENT_EXIT = 3
export const EVENT_HOOK = 4

/** struct event_header */
export const HEADER = {
  size: 0,
  type: 4,
  nargs: 5,
  cpu: 6,
  seq: 8,
  timeSec: 16,
  timeNsec: 20,
  tgid: 24,
  tid: 28,
  startNs: 32,
  hookId: 40,
  selector: 44,
  flags: 46,
  bytes: 48,
} as const

export const HOOK_HAS_RETURN = 1

/** struct value */
export const VALUE = { len: 0, kind: 4, index: 5, flags: 6, bytes: 8 } as const
export const VALUE_INT = 1
export const VALUE_UINT = 2
export const VALUE_STRING = 3
export const VALUE_FILE = 4
export const VALUE_ERROR = 5
export const VALUE_UNRESOLVED = 1
export const VALUE_DELETED = 2
export const VALUE_TRUNCATED = 4
export const VALUE_UNSTABLE = 8
export const RETURN_INDEX = 255

/** struct file_info; struct text_key follows it, then the text. */
export const FILE_INFO = { ino: 0, dev: 8, mode: 12, bytes: 16 } as const
export const TEXT_KEY_HEAD_BYTES = 8

/** struct exec_body */
export const EXEC = {
  parentStartNs: 0,
  parentTgid: 8,
  euid: 12,
  auid: 16,
  flags: 20,
  nspid: 24,
  mntNs: 28,
  pidNs: 32,
  userNs: 36,
  cgroupId: 40,
  argc: 48,
  filenameLen: 52,
  cwdLen: 54,
  cgroupLen: 56,
  pathLen: 58,
  argvLen: 60,
  fileIno: 64,
  fileLinks: 72,
  bytes: 80,
} as const

/** struct fork_body */
export const FORK = { parentStartNs: 0, parentTgid: 8, nspid: 12, bytes: 16 } as const

/** struct exit_body */
export const EXIT = { code: 0, bytes: 8 } as const

/** enum process_flag and the words Tetragon prints, in its order (docs/reference/records.md). */
export const PROCESS_FLAGS = {
  execve: 0x1,
  procFS: 0x4,
  truncArgs: 0x10,
  miss: 0x40,
  errorFilename: 0x100,
  errorArgs: 0x200,
  nocwd: 0x800,
  rootcwd: 0x1000,
  errorCWD: 0x2000,
  clone: 0x4000,
  errorCgroupName: 0x10000,
  errorPathResolutionCwd: 0x400000,
  inInitTree: 0x2000000,
} as const

/** enum counter, in its order. */
export const COUNTERS = [
  'ring_full_hook',
  'ring_full_process',
  'join_full',
  'return_missed',
  'process_map_full',
  'path_raced',
  'path_unstable',
] as const

/** struct cpu_state: u64 seq, then one u64 per counter. */
export const CPU_STATE_BYTES = 8 + 8 * COUNTERS.length

/** struct process, the value of the map `processes`. */
export const PROCESS_VALUE = { startNs: 0, parentStartNs: 8, parentTgid: 16, forked: 20, bytes: 24 } as const

/** struct join_key and struct join_value. */
export const JOIN_KEY = { thread: 0, sp: 8, hook: 16, bytes: 24 } as const
export const JOIN_VALUE = { args: 0, enteredNs: 40, bytes: 48 } as const

/** Capacities of bpf/filter.h and bpf/path.h. */
export const LIMITS = {
  hookSlots: 16,
  args: 5,
  selectors: 5,
  filters: 5,
  filterNumbers: 4,
  heads: 8,
  headParts: 7,
  tails: 8,
  textKeyBytes: 252,
  tailKeyBytes: 128,
} as const

export const NO_ARG = 0xff

export const ARG_TYPES = { nop: 0, file: 1, path: 2, s32: 3, u32: 4, u64: 5, string: 6, s64: 7 } as const
export const OPS = { equal: 0, notEqual: 1, mask: 2, prefix: 3, notPrefix: 4, postfix: 5, notPostfix: 6 } as const

/** struct hook and what it holds. */
export const HOOK = {
  id: 0,
  nargs: 4,
  syscall: 5,
  returnType: 6,
  nselectors: 7,
  argIndex: 8,
  argType: 16,
  screenArg: 24,
  nheads: 25,
  ntails: 26,
  selectors: 32,
  heads: 1072,
  tails: 2480,
  bytes: 2672,
} as const
export const SELECTOR = { count: 0, filters: 8, bytes: 208 } as const
export const FILTER = { arg: 0, op: 1, count: 2, id: 4, numbers: 8, bytes: 40 } as const
export const HEAD = { parts: 0, depthMin: 2, depthMax: 4, part: 8, bytes: 176 } as const
export const PART = { word: 0, mask: 8, len: 16, open: 20, bytes: 24 } as const
export const TAIL = { word: 0, mask: 8, len: 16, exact: 20, bytes: 24 } as const
