/** The programs of a function and what they are attached as. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsOf, gatePrograms, hookPrograms } from '../../../../collector/kernel/gate.ts'
import type { AttachMode } from '../../../../collector/kernel/plan.ts'
import type { ProgramSpec } from '../../../../native/types.ts'

const ROWS: ReadonlyArray<
  readonly [
    mode: AttachMode,
    multi: boolean,
    ends: ReadonlyArray<readonly [kind: string, gate: string, index: number, hook: string]>,
  ]
> = [
  ['kprobe.multi', true, [['kprobe.multi', 'gate_entry', 0, 'hook_entry']]],
  ['kprobe', false, [['kprobe', 'gate_entry', 0, 'hook_entry']]],
  ['fexit', true, [['fexit', 'gate_fexit', 0, 'hook_fexit']]],
  ['fexit', false, [['fexit', 'gate_fexit', 0, 'hook_fexit']]],
  ['kprobe.session', true, [['kprobe.session', 'gate_entry', 0, 'hook_session']]],
  // The return side first.
  [
    'join',
    true,
    [
      ['kretprobe.multi', 'gate_return', 1, 'hook_leave'],
      ['kprobe.multi', 'gate_entry', 0, 'hook_enter'],
    ],
  ],
  [
    'join',
    false,
    [
      ['kretprobe', 'gate_return', 1, 'hook_leave'],
      ['kprobe', 'gate_entry', 0, 'hook_enter'],
    ],
  ],
]

for (const [mode, multi, ends] of ROWS) {
  test(`gate: ${mode}${multi ? ' where fprobe is' : ''}`, () => {
    const way = { mode, multi }
    assert.deepEqual(
      endsOf(way).map(({ kind, gate, index, program }) => [kind, gate, index, program]),
      ends,
    )
    const target = mode === 'fexit' ? ['fd_install'] : []
    const shown = (programs: readonly ProgramSpec[]): unknown[] =>
      programs.map(({ name, kind, target: of }) => [name, kind, ...(of === undefined ? [] : [of])])
    assert.deepEqual(
      shown(gatePrograms(way, 'fd_install', 3)),
      ends.map(([kind, gate]) => [`${gate}_3`, kind, ...target]),
    )
    assert.deepEqual(
      shown(hookPrograms(way, 'fd_install', 15)),
      ends.map(([kind, , , program]) => [`${program}_15`, kind, ...target]),
    )
  })
}
