/** Conditions → map entries, read as the kernel reads them: the longest key that begins a text. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conditionEntries } from '../../../../../collector/plan/conditions/entries.ts'
import type { ConditionMap } from '../../../../../collector/plan/conditions/entries.ts'
import { programBytes } from '../../../../../collector/kernel/conditions/images.ts'
import { ConditionTable } from '../../../../../collector/plan/conditions/table.ts'
import {
  CONDITIONS,
  CONDITION_PARENT,
  CONDITION_PID,
  CONDITION_PROGRAM,
  CONDITION_SET,
  FOLLOWING_MAX,
  PROGRAM,
  PROGRAM_END,
  PROGRAM_END_KEY,
  PROGRAM_KEY,
  PROGRAM_START,
  PROGRAM_VALUE,
} from '../../../../../collector/wire/wire.ts'
import type { ProcessFilter } from '../../../../../config/policy/policy.ts'
import { asking, pids, programs } from '../../support/process-filters.ts'

const POLICY = { file: 'policy.yaml' }

type Entries = ReturnType<typeof conditionEntries>

function entriesOf(filters: readonly ProcessFilter[], generation = 1): Entries {
  const table = new ConditionTable()
  table.take(
    POLICY,
    filters.map((filter) => asking(filter)),
    generation,
  )
  return conditionEntries(table.all(), generation)
}

const bitsAt = (bytes: Buffer, at: number): number[] =>
  Array.from({ length: 512 }, (_, bit) => bit).filter((bit) => ((bytes[at + (bit >> 3)] ?? 0) >> (bit & 7)) & 1)

/** The value of the longest key of a table that begins `text`. */
function longest(
  entries: Entries,
  map: ConditionMap,
  table: Buffer,
  text: Buffer,
  layout: { readonly bits: number; readonly table: number; readonly text: number },
): Buffer | undefined {
  const keyText = (key: Buffer): Buffer => {
    const bytes = key.readUInt32LE(layout.bits) / 8 - (layout.text - layout.table)
    return key.subarray(layout.text, layout.text + bytes)
  }
  const [best] = entries[map]
    .filter(([key]) => key.subarray(layout.table, layout.text).equals(table))
    .filter(([key]) => text.subarray(0, keyText(key).length).equals(keyText(key)))
    .toSorted(([a], [b]) => keyText(b).length - keyText(a).length)
  return best?.[1]
}

/** As evaluate_program in bpf/process/conditions.h. */
function fulfilled(entries: Entries, path: string, kind: number, generation = 1): number[] {
  const program = programBytes(Buffer.from(path))
  const len = program.readUInt32LE(PROGRAM.len)
  const table = (generation % 2) * 4 + kind
  const found: number[] = []
  const start = program.subarray(PROGRAM.start, PROGRAM.start + Math.min(len, PROGRAM_START))
  const value = longest(entries, 'program_starts', Buffer.from([table]), start, PROGRAM_KEY)
  if (value !== undefined) {
    found.push(...bitsAt(value, PROGRAM_VALUE.begins))
    if (value.readUInt32LE(PROGRAM_VALUE.len) === len) found.push(...bitsAt(value, PROGRAM_VALUE.is))
  }
  const end = program.subarray(PROGRAM.end, PROGRAM.end + Math.min(len, PROGRAM_END))
  const ends = longest(entries, 'program_ends', Buffer.from([table, 0, 0, 0]), end, PROGRAM_END_KEY)
  if (ends !== undefined) found.push(...bitsAt(ends, 0))
  return found.map((bit) => bit - FOLLOWING_MAX).toSorted((a, b) => a - b)
}

const LONG = `/${'a'.repeat(300)}/tool`

test('condition entries: programs by start, whole and end', () => {
  const entries = entriesOf([
    programs('Equal', ['/bin/sh', '/bin/shell']),
    programs('Prefix', ['/bin/']),
    programs('Prefix', ['/bin/sh']),
    programs('Postfix', ['sh', '/zsh']),
    programs('Postfix', ['h', 'tool']),
    programs('Prefix', [LONG.slice(0, 255)]),
    programs('NotEqual', ['/bin/s']),
    programs('Equal', ['/bin/é']),
  ])
  for (const [path, want] of [
    ['/bin/sh', [0, 1, 2, 3, 4]],
    ['/bin/shell', [0, 1, 2]],
    ['/bin/shel', [1, 2]],
    ['/bin/s', [1, 6]],
    ['/bin/zsh', [1, 3, 4]],
    ['/bin', []],
    ['h', [4]],
    [LONG, [4, 5]],
    ['/bin/é', [1, 7]],
    ['', []],
  ] as const) {
    assert.deepEqual(fulfilled(entries, path, CONDITION_PROGRAM), want, path)
    assert.deepEqual(fulfilled(entries, path, CONDITION_PARENT), [], `a parent's ${path}`)
    assert.deepEqual(fulfilled(entries, path, CONDITION_PROGRAM, 2), [], `${path} in the other generation`)
  }
})

test('condition entries: pids, and what all conditions are', () => {
  const entries = entriesOf(
    [
      pids('Equal', [1, 2]),
      pids('NotEqual', [2]),
      { ...pids('Equal', [7], true), class: 'innerPid' },
      programs('NotPrefix', ['/bin/']),
    ],
    5,
  )
  const table = (5 % 2) * 4 + CONDITION_PID
  const byPid = new Map(
    entries.condition_pids.map(([key, value]) => [`${key.readUInt32LE(0)} ${key.readUInt32LE(4)}`, bitsAt(value, 0)]),
  )
  const first = FOLLOWING_MAX
  assert.deepEqual(
    [...byPid],
    [
      [`${table} 1`, [first]],
      [`${table} 2`, [first, first + 1]],
      [`${table + 1} 7`, [0]],
    ],
  )
  const [at, all] = entries.conditions[0] ?? assert.fail()
  assert.equal(at.readUInt32LE(), 5 % 2)
  assert.deepEqual(bitsAt(all, CONDITIONS.negated), [first + 1, first + 2])
  assert.deepEqual(bitsAt(all, CONDITIONS.kinds + CONDITION_PROGRAM * CONDITION_SET.bytes), [first + 2])
  assert.deepEqual(bitsAt(all, CONDITIONS.kinds + CONDITION_PID * CONDITION_SET.bytes), [first, first + 1])
  assert.equal(all.readBigUInt64LE(CONDITIONS.following), 1n)
  assert.equal(all.readUInt32LE(CONDITIONS.since), 5)
  assert.equal(all.readUInt32LE(CONDITIONS.inner), 1)
})
