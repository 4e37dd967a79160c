/** Switches of the kernel that silence hooks of everybody. They belong to the host: they are only read. */
import type { AttachKind } from '../../../native/types.ts'
import { readOr } from '../../host/read.ts'
import type { Finding } from './finding.ts'

interface Switch {
  readonly kind: Finding['kind']
  readonly file: string
  readonly silences: readonly AttachKind[]
}

const switches = (procfs: string): readonly Switch[] => [
  { kind: 'kprobes_disarmed', file: '/sys/kernel/debug/kprobes/enabled', silences: ['kprobe', 'kretprobe'] },
  {
    kind: 'ftrace_disabled',
    file: `${procfs}/sys/kernel/ftrace_enabled`,
    // Kprobes at the begin of a function and trampolines are called by ftrace too.
    silences: [
      'kprobe',
      'kretprobe',
      'kprobe.multi',
      'kretprobe.multi',
      'kprobe.session',
      'fentry',
      'fexit',
      'fmod_ret',
    ],
  },
]

/** `kinds`: the kinds of attached programs. `read` returns undefined for a switch that the kernel does not have or does not show. */
export function checkSwitches(kinds: ReadonlySet<AttachKind>, procfs: string, read = readOr): Finding[] {
  return switches(procfs).flatMap(({ kind, file, silences }): Finding[] => {
    if (!silences.some((each) => kinds.has(each))) return []
    const got = read(file)?.trim() ?? '1'
    return got === '1' ? [] : [{ kind, on: file, expected: '1', got, repaired: false }]
  })
}
