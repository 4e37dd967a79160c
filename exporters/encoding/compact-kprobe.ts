/**
 * Emoji, label and details of a kprobe's compact line, by hooked function. Tetragon's choices follow no rule, so they are a
 * table (docs/reference/records/compact.md).
 */
import type { Argument, HookEvent } from '../contract/event.ts'
import { printable } from '../../config/base/quoting.ts'
import { describeFileAccess, letters } from './compact-files.ts'
import type { Description } from './compact-files.ts'

type Args = readonly Argument[]

const ARCH_PREFIX = /^__(x64|arm64|ia32)_/
const MAY_WRITE = 2
const MAY_READ = 4
/** The CLONE_NEW* values of setns(2). */
const NAMESPACES: Readonly<Record<number, string>> = {
  0: 'any',
  0x80: 'time',
  0x20000: 'mnt',
  0x2000000: 'cgroup',
  0x4000000: 'uts',
  0x8000000: 'ipc',
  0x10000000: 'user',
  0x20000000: 'pid',
  0x40000000: 'net',
}

const TABLE = new Map<string, (args: Args) => Description>([
  ['sys_write', (args) => show('📝', 'write', file(args[0]), bytes(args))],
  ['sys_read', (args) => show('📚', 'read', file(args[0]), bytes(args))],
  ['fd_install', (args) => show('📬', 'open', file(args[1]))],
  // Tetragon's emoji for these two has a variation selector.
  ['sys_openat', (args) => show('📬\ufe0f', 'openat', text(args[1]))],
  ['sys_open', (args) => show('📬\ufe0f', 'open', text(args[1]))],
  ['sys_close', (args) => show('📪', 'close', file(args[0]))],
  ['sys_mount', (args) => show('💾', 'mount', text(args[0]), text(args[1]))],
  ['sys_pivot_root', (args) => show('💾', 'pivot_root', text(args[0]), text(args[1]))],
  ['sys_setuid', (args) => show('🔑', 'setuid', args.length > 0 ? String(int(args[0])) : '')],
  ['sys_clock_settime', () => show('⏰', 'clock_settime')],
  ['proc_exec_connector', () => show('🔧', 'proc_exec_connector')],
  ['sys_setns', (args) => show('🔧', 'setns', args.length > 1 ? (NAMESPACES[int(args[1])] ?? '') : '')],
  ['tcp_connect', (args) => show('🔌', 'connect', socket(args[0]))],
  ['tcp_close', (args) => show('🧹', 'close', socket(args[0]))],
  ['tcp_sendmsg', (args) => show('📤', 'sendmsg', socket(args[0]), args.length > 1 ? `bytes ${int(args[1])}` : '')],
  [
    'bpf_check',
    (args) => show('🐝', 'bpf_load', members(args[0], 'ProgType', 'ProgName', 'instruction count InsnCnt')),
  ],
  ['security_perf_event_alloc', (args) => show('🐝', 'perf_event_alloc', members(args[0], 'Type', 'KprobeFunc'))],
  ['security_bpf_map_alloc', mapCreate],
  ['security_bpf_map_create', mapCreate],
  ['security_file_permission', filePermission],
  ['security_mmap_file', mmapFile],
  ['security_path_truncate', pathTruncate],
  ['security_file_truncate', (args) => show('📝', 'truncate', file(args[0]))],
])

/** Picks emoji, label and details for the event's function; unknown functions show their full name. */
export function describeKprobe(event: HookEvent): Description {
  const { functionName } = event.hook
  const describe = TABLE.get(functionName.replace(ARCH_PREFIX, ''))
  return describe?.(event.args) ?? describeFileAccess(event) ?? show('❓', 'syscall', functionName)
}

function show(emoji: string, label: string, ...details: readonly string[]): Description {
  return { emoji, label, details }
}

function mapCreate(args: Args): Description {
  const sizes = ['key size KeySize', 'value size ValueSize', 'max entries MaxEntries']
  return show('🗺', 'bpf_map_create', members(args[0], 'MapType', 'MapName', ...sizes))
}

/** Members of a BPF program or map or a perf event; `names`: the numbers with words before them. */
function members(argument: Argument | undefined, ...names: readonly string[]): string {
  if (argument?.kind !== 'struct' || !/^(?:bpf|perf)_/.test(argument.field)) return ''
  const values = new Map(argument.members)
  const shown = names.map((name) =>
    name.replace(/\w+$/, (key) => {
      const value = values.get(key) ?? (key === name ? '' : 0)
      return typeof value === 'object' ? '' : printable(String(value))
    }),
  )
  return shown.join(' ')
}

function filePermission(args: Args): Description {
  const path = file(args[0])
  switch (int(args[1])) {
    case MAY_WRITE:
      return show('📝', 'write', path)
    case MAY_READ:
      return show('📚', 'read', path)
    default:
      return show('❓', 'security_file_permission', path)
  }
}

function mmapFile(args: Args): Description {
  const [mapped, prot] = args
  if (mapped === undefined || prot === undefined) return show('❓', 'security_mmap_file', file(mapped))
  // Only uint is decoded: a policy that declares the protection as int gets `mmap-`.
  return show('📝', `mmap-${prot.field === 'uint_arg' ? letters(prot) : ''}`, file(mapped))
}

function pathTruncate(args: Args): Description {
  const [first] = args
  if (first === undefined) return show('❓', 'security_path_truncate', '')
  return show('📝', 'truncate', first.kind === 'file' && first.field === 'path_arg' ? printable(first.path) : '')
}

function file(argument: Argument | undefined): string {
  return argument?.kind === 'file' && argument.field === 'file_arg' ? printable(argument.path) : ''
}

function text(argument: Argument | undefined): string {
  return argument?.kind === 'string' ? printable(argument.value) : ''
}

/** `tcp` and both ends, as Tetragon has them: without brackets. */
function socket(argument: Argument | undefined): string {
  return argument?.kind === 'struct' && argument.field === 'sock_arg' ? argument.text.replaceAll(/[[\]]/g, '') : ''
}

function int(argument: Argument | undefined): number {
  return argument?.kind === 'number' && argument.field === 'int_arg' ? argument.value : 0
}

function bytes(args: Args): string {
  const argument = args[2]
  if (argument === undefined) return ''
  return `${argument.kind === 'wide' && argument.field === 'size_arg' ? argument.value : 0} bytes`
}
