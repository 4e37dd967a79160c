/** The programs of a function and the kinds of their attachment. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsOf, gatePrograms, hookPrograms } from '../../../../../collector/kernel/programs/gate.ts'
import type { AttachMode } from '../../../../../collector/plan/plan.ts'
import type { ProgramSpec } from '../../../../../native/types.ts'

const ROWS: ReadonlyArray<
  readonly [
    mode: AttachMode,
    multi: boolean,
    ends: ReadonlyArray<readonly [kind: string, gate: string, behind?: string, hook?: string]>,
    returns?: boolean,
  ]
> = [
  ['kprobe.multi', true, [['kprobe.multi', 'gate_entry', 'gate 0', 'hook_entry']]],
  ['kprobe', false, [['kprobe', 'gate_entry', 'gate 0', 'hook_entry']]],
  ['fexit', true, [['fexit', 'gate_fexit', 'gate 0', 'hook_fexit']]],
  ['fexit', false, [['fexit', 'gate_fexit', 'gate 0', 'hook_fexit']]],
  ['kprobe.session', true, [['kprobe.session', 'gate_entry', 'gate 0', 'hook_session']]],
  // The return side first.
  [
    'join',
    true,
    [
      ['kretprobe.multi', 'gate_return', 'gate 1', 'hook_leave'],
      ['kprobe.multi', 'gate_entry', 'gate 0', 'hook_enter'],
    ],
  ],
  [
    'fentry',
    true,
    [
      ['fexit', 'gate_exit', 'gate_back 0', 'hook_left'],
      ['fentry', 'gate_fentry', 'gate 0', 'hook_fentry'],
    ],
  ],
  ['fmod_ret', true, [['fmod_ret', 'gate_modify', 'gate 0', 'hook_modify']]],
  [
    'fmod_ret',
    true,
    [
      ['fexit', 'gate_exit', 'gate_back 0', 'hook_left'],
      ['fmod_ret', 'gate_modify', 'gate 0', 'hook_modify'],
    ],
    true,
  ],
  // The kernel runs the one attached last first.
  [
    'override',
    true,
    [
      ['kprobe', 'gate_override'],
      ['kprobe', 'gate_entry', 'gate 0', 'hook_deny'],
    ],
  ],
  [
    'override',
    true,
    [
      ['kretprobe.multi', 'gate_leave', 'gate_back 0', 'hook_leave'],
      ['kprobe', 'gate_override'],
      ['kprobe', 'gate_entry', 'gate 0', 'hook_deny'],
    ],
    true,
  ],
  [
    'join',
    false,
    [
      ['kretprobe', 'gate_return', 'gate 1', 'hook_leave'],
      ['kprobe', 'gate_entry', 'gate 0', 'hook_enter'],
    ],
  ],
]

for (const [mode, multi, ends, returns = false] of ROWS) {
  test(`gate: ${mode}${multi ? ' where fprobe is' : ''}${returns ? ', with the return value' : ''}`, () => {
    const way = { mode, multi, returns }
    assert.deepEqual(
      endsOf(way).map(({ kind, gate, behind }) => [
        kind,
        gate,
        ...(behind === undefined ? [] : [`${behind.array} ${behind.index}`, behind.program]),
      ]),
      ends,
    )
    const targetOf = (kind: string): string[] => (['fentry', 'fexit', 'fmod_ret'].includes(kind) ? ['fd_install'] : [])
    const shown = (programs: readonly ProgramSpec[]): unknown[] =>
      programs.map(({ name, kind, target: of }) => [name, kind, ...(of === undefined ? [] : [of])])
    assert.deepEqual(
      shown(gatePrograms(way, 'fd_install', 3)),
      ends.map(([kind, gate]) => [`${gate}_3`, kind, ...targetOf(kind)]),
    )
    assert.deepEqual(
      shown(hookPrograms(way, 'fd_install', 15)),
      ends.flatMap(([kind, , , program]) =>
        program === undefined ? [] : [[`${program}_15`, kind, ...targetOf(kind)]],
      ),
    )
  })
}
