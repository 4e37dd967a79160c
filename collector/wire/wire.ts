/**
 * The contract with the kernel side, made by write-wire.ts from bpf/layout.bpf.c: do not edit.
 * A struct is the offsets of its members in bytes, and its size as `bytes`. Constants of an enum have their C names, except where they
 * are looked up by name.
 */
export const SELECTOR = {
  policyHook: 0,
  index: 4,
  count: 5,
  undecided: 6,
  returnType: 7,
  conditions: 8,
  action: 12,
  changes: 36,
  early: 38,
  filters: 40,
  bytes: 920,
} as const
export const ACTION = {
  intervalMs: 0,
  signals: 4,
  hide: 7,
  scope: 8,
  values: 9,
  error: 10,
  aggregate: 12,
  enforcer: 16,
  noteError: 20,
  noteSignal: 22,
  enforces: 23,
  bytes: 24,
} as const
export const FILTER = { value: 0, class: 1, op: 2, count: 3, id: 4, numbers: 8, bytes: 40 } as const
export const SET = { bits: 0, bytes: 64 } as const
export const NUMBER_KEY = { filter: 0, number: 8, bytes: 16 } as const
export const TEXT_ENTRY = { bits: 0, filter: 4, text: 8, bytes: 260 } as const
export const TEXT_VALUE = { len: 0, next: 4, bytes: 8 } as const
export const SUFFIX_ENTRY = { bits: 0, filter: 4, text: 8, bytes: 136 } as const
export const AUTOMATON_ROW = { next: 0, bytes: 512 } as const
export const EDGE = { word: 0, node: 8, len: 12, bytes: 16 } as const
export const NODE = { id: 0, here: 4, below: 8, open: 12, bytes: 16 } as const
export const REPEAT_KEY = { policyHook: 0, caller: 4, arguments: 8, bytes: 16 } as const
export const AGGREGATE = { count: 0, done: 8, totalBytes: 16, lastNs: 24, sent: 32, taken: 40, bytes: 48 } as const
export const IMAGE = { program: 0, parent: 392, innerPid: 784, execId: 788, bytes: 792 } as const
export const PROGRAM = { len: 0, known: 4, unread: 5, start: 8, end: 264, bytes: 392 } as const
export const VERDICT = { bits: 0, followed: 64, generation: 72, current: 76, execId: 80, bytes: 88 } as const
export const CONDITIONS = { negated: 0, kinds: 64, following: 320, since: 328, inner: 584, bytes: 592 } as const
export const CONDITION_SET = { bits: 0, bytes: 64 } as const
export const PROGRAM_KEY = { bits: 0, table: 4, text: 5, bytes: 260 } as const
export const PROGRAM_VALUE = { len: 0, begins: 8, is: 72, bytes: 136 } as const
export const PROGRAM_END_KEY = { bits: 0, table: 4, text: 8, bytes: 136 } as const
export const PID_KEY = { table: 0, pid: 4, bytes: 8 } as const
export const CPU_STATE = { seq: 0, counters: 8, bytes: 112 } as const
export const PROCESS = { startNs: 0, parentStartNs: 8, parentTgid: 16, forked: 20, cgroupId: 24, bytes: 32 } as const
export const PRIVILEGES = { sinceNs: 0, capabilities: 8, namespaces: 32, bytes: 72 } as const
export const WORKLOAD = { holds: 0, kind: 64, partial: 68, bytes: 72 } as const
export const JOIN_KEY = { thread: 0, sp: 8, hook: 16, bytes: 24 } as const
export const JOIN_VALUE = { params: 0, entered: 40, returned: 48, state: 56, bytes: 64 } as const
export const SOCKET_ENTRY = { bits: 0, filter: 4, value: 8, bytes: 24 } as const
export const PENDING = { call: 0, entered: 8, bytes: 16 } as const
export const HOOK = {
  id: 0,
  from: 4,
  nvalues: 5,
  nnumbers: 6,
  stacks: 7,
  values: 8,
  numbers: 136,
  words: 168,
  all: 172,
  firstAll: 176,
  selectors: 184,
  nselectors: 188,
  actions: 192,
  conditional: 196,
  conditions: 200,
  placed: 204,
  early: 206,
  judged: 207,
  workloads: 208,
  conditionWords: 212,
  denies: 214,
  awaits: 215,
  atReturn: 216,
  params: 217,
  fields: 222,
  path: 248,
  files: 456,
  bytes: 504,
} as const
export const WANTED_VALUE = {
  param: 0,
  type: 1,
  index: 2,
  members: 3,
  places: 4,
  shown: 6,
  place: 8,
  size: 12,
  sizeType: 13,
  returned: 14,
  more: 15,
  bytes: 16,
} as const
export const SCREENED_NUMBER = { param: 0, type: 1, sets: 4, bytes: 8 } as const
export const EVENT_FIELD = { offset: 0, width: 2, kind: 3, bytes: 4 } as const
export const PATH_SCREEN = {
  first: 0,
  param: 16,
  type: 17,
  suffixOpen: 18,
  suffix: 20,
  suffixes: 24,
  all: 28,
  others: 32,
  parts: 36,
  automaton: 40,
  root: 44,
  nshared: 60,
  shared: 64,
  bytes: 208,
} as const
export const SHARED_COMPONENT = { word: 0, mask: 8, len: 16, bytes: 24 } as const
export const FILE_SCREEN = { wanted: 0, param: 8, type: 9, places: 10, others: 12, place: 16, bytes: 24 } as const
export const EVENT_HEADER = {
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
  uid: 48,
  bytes: 56,
} as const
export const VALUE = { len: 0, places: 2, kind: 4, index: 5, flags: 6, bytes: 8 } as const
export const FILE_INFO = { ino: 0, dev: 8, mode: 12, bytes: 16 } as const
export const FILE_DETAILS = {
  size: 0,
  changedSec: 8,
  changedNsec: 16,
  generation: 20,
  links: 24,
  mountId: 28,
  realIno: 32,
  realDev: 40,
  flags: 44,
  named: 48,
  bytes: 64,
} as const
export const OVERLAY_PLACES = { upper: 0, steps: 4, lower: 8, bytes: 20 } as const
export const TEXT_KEY = { bits: 0, filter: 4, bytes: 8 } as const
export const SOCKET_INFO = {
  object: 0,
  saddr: 8,
  daddr: 24,
  family: 40,
  type: 42,
  protocol: 44,
  state: 46,
  sport: 48,
  dport: 50,
  mark: 52,
  priority: 56,
  hash: 60,
  len: 64,
  bytes: 72,
} as const
export const OBJECT_INFO = { failed: 0, bytes: 8 } as const
export const PLACE_ENTRY = {
  offsets: 0,
  last: 40,
  at: 44,
  steps: 46,
  size: 47,
  isSigned: 48,
  bit: 49,
  bits: 50,
  text: 51,
  user: 52,
  bytes: 56,
} as const
export const EXEC_BODY = {
  parentStartNs: 0,
  parentTgid: 8,
  euid: 12,
  auid: 16,
  flags: 20,
  nspid: 24,
  argc: 28,
  cgroupId: 32,
  detail: 40,
  filenameLen: 152,
  cwdLen: 154,
  cgroupLen: 156,
  pathLen: 158,
  argvLen: 160,
  argvTotal: 164,
  fileIno: 168,
  fileLinks: 176,
  cgroupState: 180,
  raised: 182,
  envTotal: 184,
  bytes: 192,
} as const
export const PROCESS_DETAIL = {
  permitted: 0,
  effective: 8,
  inheritable: 16,
  uid: 24,
  gid: 28,
  euid: 32,
  egid: 36,
  suid: 40,
  sgid: 44,
  fsuid: 48,
  fsgid: 52,
  securebits: 56,
  userNsLevel: 60,
  userNsUid: 64,
  userNsGid: 68,
  namespaces: 72,
  bytes: 112,
} as const
export const DATA_BODY = { of: 0, at: 4, bytes: 8 } as const
export const FORK_BODY = {
  parentStartNs: 0,
  parentTgid: 8,
  nspid: 12,
  cgroupId: 16,
  cgroupLen: 24,
  cgroupState: 26,
  bytes: 32,
} as const
export const CGROUP_BODY = { id: 0, namesLen: 8, namesState: 10, gone: 12, bytes: 16 } as const
export const EXIT_BODY = { code: 0, bytes: 8 } as const
export const RETURN_BODY = { call: 0, returned: 8, bytes: 16 } as const
export const SELECTOR_ID = { policyHook: 0, index: 4, bytes: 8 } as const
export const ACTED = {
  calls: 0,
  refused: 8,
  hidden: 16,
  repeats: 24,
  denied: 32,
  signals: 40,
  notified: 64,
  bytes: 72,
} as const
export const TAKEN_AGGREGATE = { key: 0, count: 16, totalBytes: 24, lastNs: 32, bytes: 40 } as const
export const IDENTIFIED = { identity: 0, links: 16, mode: 20, bytes: 24 } as const
export const IDENTITY = { ino: 0, dev: 8, generation: 12, bytes: 16 } as const
export const IDENTITY_NAME = { folder: 0, name: 16, bytes: 272 } as const
export const IDENTITY_FILTERS = { own: 0, below: 8, named: 16, bytes: 24 } as const
export const IDENTITY_SCREEN = {
  devices: 0,
  files: 8,
  folders: 40,
  unknown: 72,
  round: 80,
  sticky: 88,
  bytes: 96,
} as const
export const LINKED_FILTERS = { filters: 0, round: 8, named: 16, bytes: 32 } as const
export const LINKED_NEWS = { unknown: 0, moved: 8, kept: 16, left: 24, gone: 56, bytes: 88 } as const
export const EVENT_EXEC = 1
export const EVENT_FORK = 2
export const EVENT_EXIT = 3
export const EVENT_HOOK = 4
export const EVENT_RETURN = 5
export const EVENT_MOVE = 6
export const EVENT_CGROUP = 7
export const EVENT_DATA = 8
export const HOOK_HAS_RETURN = 1
export const HOOK_RETURN_FOLLOWS = 2
export const HOOK_RETURN_MISSED = 4
export const HOOK_NOT_ACTED = 8
export const HOOK_RETURN_KEPT = 16
export const HOOK_AGGREGATES = 32
export const HOOK_RETURN_PENDING = 64
export const VALUE_INT = 1
export const VALUE_UINT = 2
export const VALUE_STRING = 3
export const VALUE_FILE = 4
export const VALUE_ERROR = 5
export const VALUE_SOCKET = 6
export const VALUE_OBJECT = 7
export const VALUE_BYTES = 8
export const VALUE_STACK = 9
export const VALUE_UNRESOLVED = 1
export const VALUE_DELETED = 2
export const VALUE_TRUNCATED = 4
export const VALUE_UNSTABLE = 8
export const VALUE_DETAILS = 16
export const DETAIL_DETACHED = 1
export const DETAIL_OVERLAY = 2
export const DETAIL_UPPER = 4
export const NAMED_MAX = 4
export const PROCESS_EXECVE = 1
export const PROCESS_PROCFS = 4
export const PROCESS_ERROR_ENVS = 8
export const PROCESS_TRUNC_ARGS = 16
export const PROCESS_MISS = 64
export const PROCESS_ERROR_FILENAME = 256
export const PROCESS_ERROR_ARGS = 512
export const PROCESS_NO_CWD = 2048
export const PROCESS_ROOT_CWD = 4096
export const PROCESS_ERROR_CWD = 8192
export const PROCESS_CLONE = 16384
export const PROCESS_ERROR_CGROUP_NAME = 65536
export const PROCESS_ERROR_PATH_CWD = 4194304
export const PROCESS_DATA_FILENAME = 8388608
export const PROCESS_DATA_ARGS = 16777216
export const CGROUP_KEPT = 0
export const CGROUP_WHOLE = 1
export const CGROUP_CUT = 2
export const RAISED_SETUID = 1
export const RAISED_SETGID = 2
export const RAISED_FILE_CAPABILITIES = 4
export const RAISED_SETUID_ROOT = 8
export const RAISED_SETGID_ROOT = 16
export const DATA_ARGV = 1
export const DATA_ENV = 2
export const COUNTERS = [
  'ring_full_hook',
  'ring_full_process',
  'return_missed',
  'process_map_full',
  'path_raced',
  'path_unstable',
  'path_too_deep',
  'join_full',
  'ring_full_return',
  'image_missed',
  'program_unknown',
  'workload_unknown',
  'aggregates_full',
] as const
export const ARG_TYPES = {
  nop: 0,
  file: 1,
  path: 2,
  string: 3,
  s8: 4,
  s16: 5,
  s32: 6,
  s64: 7,
  u8: 8,
  u16: 9,
  u32: 10,
  u64: 11,
  sock: 12,
  socket: 13,
  skb: 14,
  sockaddr: 15,
  netDevice: 16,
  filename: 17,
  fd: 18,
  kiocb: 19,
  binprm: 20,
  dentry: 21,
  object: 22,
  charBuf: 23,
  charIovec: 24,
  iovIter: 25,
  sockaddrUn: 26,
} as const
export const OPS = {
  Equal: 0,
  NotEqual: 1,
  Mask: 2,
  Prefix: 3,
  NotPrefix: 4,
  Postfix: 5,
  NotPostfix: 6,
  GreaterThan: 7,
  LessThan: 8,
  NotMask: 9,
  SameFile: 10,
  UnderDir: 11,
  SubString: 12,
} as const
export const CLASSES = {
  number: 0,
  text: 1,
  path: 2,
  namespace: 3,
  capability: 4,
  namespaceChange: 5,
  capabilityChange: 6,
  socket: 7,
  fileType: 8,
  identity: 9,
} as const
export const HOOK_SLOTS = 16
export const PARAMS_MAX = 5
export const PARAM_TASK = 5
export const VALUES_MAX = 8
export const VALUE_TEXTS_MAX = 5
export const SELECTORS_MAX = 512
export const SET_WORDS = 8
export const FILTERS_MAX = 22
export const ACTIONS_MAX = 3
export const FILTER_NUMBERS = 4
export const SCREENED_NUMBERS = 4
export const PLACE_STEPS = 10
export const MEMBERS_MAX = 24
export const OBJECT_BYTES = 512
export const BYTES_MAX = 4095
export const DATA_MAX = 16384
export const STACK_FRAMES_MAX = 127
export const OVERLAY_STEPS = 3
export const SMALL_NUMBERS = 64
export const EMPTY_SET = 0
export const SCRATCH_BYTES = 31072
export const RECORD_AT = 1216
export const RECORD_BYTES = 22528
export const NAME_ROOM = 256
export const TEXT_BEGIN = 32
export const TEXT_ROOM = 4384
export const VALUE_ROOM = 320
export const TEXT_MAX = 4095
export const TEXT_KEY_BYTES = 252
export const SUFFIX_KEY_BYTES = 128
export const AUTOMATON_FOUND = 65535
export const AUTOMATON_ROUND = 64
export const PREFIX_PARTS = 7
export const SHARED_MAX = 6
export const EDGE_OPEN_MAX = 8
export const EDGE_OPEN = 2147483648
export const NO_ARG = 255
export const RETURN_INDEX = 255
export const AGGREGATE_INDEX = 254
export const KERNEL_STACK_INDEX = 253
export const USER_STACK_INDEX = 252
export const VALUE_TYPE_SHIFT = 3
export const CONDITION_WORDS = 8
export const FOLLOWING_MAX = 64
export const PROGRAM_START = 255
export const PROGRAM_END = 128
export const ANCESTORS_MAX = 10
export const GENERATIONS_AT_ONCE = 2
export const CONDITION_PROGRAM = 0
export const CONDITION_PARENT = 1
export const CONDITION_PID = 2
export const CONDITION_INNER_PID = 3
export const CONDITION_KINDS = 4
export const WORKLOAD_HOST = 0
export const WORKLOAD_POD = 1
export const WORKLOAD_CONTAINER = 2
export const NAMESPACES = {
  uts: 0,
  ipc: 1,
  mnt: 2,
  pid: 3,
  pidForChildren: 4,
  net: 5,
  time: 6,
  timeForChildren: 7,
  cgroup: 8,
  user: 9,
} as const
export const CAPABILITY_SETS = { effective: 0, inheritable: 1, permitted: 2 } as const
export const NAMESPACE_KINDS = 10
export const CAPABILITY_KINDS = 3
export const SOCKET_MEMBERS = { saddr: 0, daddr: 1, sport: 2, dport: 3, protocol: 4, family: 5, state: 6 } as const
export const JOIN_WAITS = 0
export const JOIN_UNREAD = 1
export const JOIN_RETURNED = 2
export const JOIN_MISSED = 3
export const SCOPES = { thread: 0, process: 1, global: 2 } as const
export const FIELDS = { unsigned: 0, signed: 1, place: 2, located: 3, locatedOn: 4, syscall: 5 } as const
export const FROM_SYSCALL = 1
export const FROM_REGISTERS = 2
export const PARAM_UNREAD = 0
export const PARAM_LOADED = 1
export const PARAM_BY_HELPER = 2
export const STACK_KERNEL = 1
export const STACK_USER = 2
export const AGGREGATE_CALLS = 1
export const AGGREGATE_ERRORS = 2
export const AGGREGATE_BYTES = 4
export const TAKE_NONE = 0
export const TAKE_DONE = 1
export const TAKE_LATER = 2
export const IDENTITY_FILTERS_MAX = 64
export const IDENTITY_WORDS = 4
export const IDENTITY_HOPS = 64
export const IDENTITY_NAME_BYTES = 256
export const NO_ROUND = 0
export const FILES_MAX = 2
export const IDENTIFIED_NOTHING = 0
export const IDENTIFIED_FILE = 1
export const IDENTIFIED_UNKEPT = 2
