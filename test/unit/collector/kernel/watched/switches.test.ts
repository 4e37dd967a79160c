/** Switches of the kernel that silence attached programs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSwitches } from '../../../../../collector/kernel/watched/switches.ts'
import type { AttachKind } from '../../../../../native/types.ts'

const KPROBES = '/sys/kernel/debug/kprobes/enabled'
const FTRACE = '/host/proc/sys/kernel/ftrace_enabled'

const ROWS: ReadonlyArray<
  readonly [kinds: readonly AttachKind[], files: Readonly<Record<string, string>>, found: string[]]
> = [
  [['kprobe', 'kprobe.multi'], { [KPROBES]: '1\n', [FTRACE]: '1\n' }, []],
  [['kprobe'], { [KPROBES]: '0\n', [FTRACE]: '1\n' }, ['kprobes_disarmed']],
  [['kretprobe'], { [KPROBES]: '0\n', [FTRACE]: '0\n' }, ['kprobes_disarmed', 'ftrace_disabled']],
  [['kprobe.multi'], { [KPROBES]: '0\n', [FTRACE]: '1\n' }, []],
  [['kprobe.session'], { [KPROBES]: '1\n', [FTRACE]: '0\n' }, ['ftrace_disabled']],
  [['fexit'], { [KPROBES]: '0\n', [FTRACE]: '0\n' }, ['ftrace_disabled']],
  [['tp_btf'], { [KPROBES]: '0\n', [FTRACE]: '0\n' }, []],
  // No debugfs, no ftrace: nothing to see.
  [['kprobe', 'kretprobe.multi'], {}, []],
]

for (const [kinds, files, found] of ROWS) {
  test(`switches: ${kinds.join(' and ')} with ${JSON.stringify(files)}`, () => {
    const findings = checkSwitches(new Set(kinds), '/host/proc', (file) => files[file])
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      found,
    )
    for (const { on, got, expected, repaired } of findings) {
      assert.deepEqual([files[on], expected, repaired], [`${got}\n`, '1', false])
    }
  })
}
