/**
 * collector/kernel/wire.ts against the C headers, through the BTF of the built objects. Every constant that wire.ts exports
 * must stand in a row here; the last test sees to that.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as wire from '../../../../collector/kernel/wire.ts'
import { readBtf } from '../../../support/btf.ts'
import type { Btf } from '../../../support/btf.ts'

const BPF = join(import.meta.dirname, '../../../../bpf')
const object = (name: string): Btf => readBtf(join(BPF, 'build', name))
const HOOK_OBJECTS = ['hook.typed.bpf.o', 'hook.typed_ctx.bpf.o', 'hook.probe.bpf.o']
const checked = new Set<string>()

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** Row: name in wire.ts, C struct, members that user space has no use for. */
const STRUCTS: ReadonlyArray<readonly [name: keyof typeof wire, struct: string, unused: readonly string[]]> = [
  ['HEADER', 'event_header', []],
  ['VALUE', 'value', []],
  ['FILE_INFO', 'file_info', []],
  ['EXEC', 'exec_body', ['reserved']],
  ['FORK', 'fork_body', []],
  ['EXIT', 'exit_body', ['reserved']],
  ['PROCESS_VALUE', 'process', []],
  ['JOIN_KEY', 'join_key', ['reserved']],
  ['JOIN_VALUE', 'join_value', []],
  ['HOOK', 'hook', ['reserved']],
  ['SELECTOR', 'selector', ['reserved']],
  ['FILTER', 'filter', ['reserved']],
  ['HEAD', 'head', []],
  ['PART', 'part', []],
  ['TAIL', 'tail', []],
]

/** C spells a few members otherwise than wire.ts: there the enclosing name says it already. */
const SPELLED: Readonly<Record<string, string>> = { 'HOOK.argIndex': 'arg_index', 'HOOK.argType': 'arg_type' }

function offsetsOf(name: string): Record<string, number> {
  checked.add(name)
  const value: unknown = Object.entries(wire).find(([key]) => key === name)?.[1]
  assert.ok(typeof value === 'object' && value !== null, name)
  return Object.fromEntries(Object.entries(value).map(([key, offset]) => [key, Number(offset)]))
}

for (const [name, struct, unused] of STRUCTS) {
  test(`wire: ${name} is struct ${struct}, byte for byte, in every object that has it`, () => {
    const { bytes, ...offsets } = offsetsOf(name)
    const want = Object.fromEntries(
      Object.entries(offsets).map(([key, offset]) => [SPELLED[`${name}.${key}`] ?? snake(key), offset]),
    )
    let seen = 0
    for (const file of ['layout.bpf.o', 'process.bpf.o', ...HOOK_OBJECTS]) {
      const found = object(file).structs.get(struct)
      if (found === undefined) continue
      seen++
      const members = [...found.members].filter(([member]) => !unused.includes(member))
      assert.deepEqual(want, Object.fromEntries(members.map(([member, { offset }]) => [member, offset])), file)
      assert.equal(bytes, found.sizeBytes, `size in ${file}`)
    }
    assert.ok(seen > 0, `no object has struct ${struct}`)
  })
}

test('wire: integers have the widths that decode and layout read and write', () => {
  const { structs } = object('layout.bpf.o')
  const size = (struct: string, member: string): number | undefined =>
    structs.get(struct)?.members.get(member)?.sizeBytes
  const widths: ReadonlyArray<readonly [struct: string, bytes: number, members: string]> = [
    ['event_header', 1, 'type nargs'],
    ['event_header', 2, 'cpu selector flags'],
    ['event_header', 4, 'size time_sec time_nsec tgid tid hook_id'],
    ['event_header', 8, 'seq start_ns'],
    ['value', 4, 'len'],
    ['value', 1, 'kind index'],
    ['value', 2, 'flags'],
    ['file_info', 8, 'ino'],
    ['file_info', 4, 'dev mode'],
    ['exec_body', 8, 'parent_start_ns cgroup_id file_ino'],
    ['exec_body', 4, 'parent_tgid euid auid flags nspid mnt_ns pid_ns user_ns argc argv_len file_links'],
    ['exec_body', 2, 'filename_len cwd_len cgroup_len path_len'],
    ['fork_body', 8, 'parent_start_ns'],
    ['fork_body', 4, 'parent_tgid nspid'],
    ['exit_body', 4, 'code'],
    ['process', 8, 'start_ns parent_start_ns'],
    ['process', 4, 'parent_tgid forked'],
    ['hook', 4, 'id'],
    ['hook', 1, 'nargs syscall return_type nselectors screen_arg nheads ntails'],
    ['selector', 4, 'count'],
    ['filter', 1, 'arg op count'],
    ['filter', 4, 'id'],
    ['head', 2, 'parts depth_min'],
    ['head', 4, 'depth_max'],
    ['part', 8, 'word mask'],
    ['part', 4, 'len open'],
    ['tail', 8, 'word mask'],
    ['tail', 4, 'len exact'],
  ]
  for (const [struct, bytes, members] of widths) {
    for (const member of members.split(' ')) assert.equal(size(struct, member), bytes, `${struct}.${member}`)
  }
})

test('wire: the key head of texts is struct text_key, and the keys of the maps begin with it', () => {
  checked.add('TEXT_KEY_HEAD_BYTES')
  const { structs } = object('layout.bpf.o')
  assert.equal(wire.TEXT_KEY_HEAD_BYTES, structs.get('text_key')?.sizeBytes)
  for (const [entry, capacity] of [
    ['text_entry', wire.LIMITS.textKeyBytes],
    ['tail_entry', wire.LIMITS.tailKeyBytes],
  ] as const) {
    const members = structs.get(entry)?.members
    assert.equal(members?.get('bits')?.offset, structs.get('text_key')?.members.get('bits')?.offset)
    assert.equal(members?.get('filter')?.offset, structs.get('text_key')?.members.get('filter')?.offset)
    assert.deepEqual(members?.get('bytes'), { offset: wire.TEXT_KEY_HEAD_BYTES, sizeBytes: capacity, count: capacity })
    // An LPM key holds 256 bytes at most, the filter's number among them (kernel/bpf/lpm_trie.c).
    assert.ok(4 + capacity <= 256)
  }
})

test('wire: the key of the map numbers is what kernel-side.ts writes: filter at 0, number at 8, 16 bytes', () => {
  const key = object('layout.bpf.o').structs.get('number_key')
  assert.deepEqual([key?.members.get('filter')?.offset, key?.members.get('number')?.offset, key?.sizeBytes], [0, 8, 16])
})

test('wire: capacities are those of the arrays', () => {
  checked.add('LIMITS')
  checked.add('NO_ARG')
  const { structs, enums, variables } = object('layout.bpf.o')
  const count = (struct: string, member: string): number | undefined => structs.get(struct)?.members.get(member)?.count
  const defined = enums.get('layout_limit')
  assert.deepEqual(
    { ...wire.LIMITS },
    {
      hookSlots: variables.get('hooks')?.count,
      args: defined?.get('LAYOUT_ARGS_MAX'),
      selectors: count('hook', 'selectors'),
      filters: count('selector', 'filters'),
      filterNumbers: count('filter', 'numbers'),
      heads: count('hook', 'heads'),
      headParts: count('head', 'part'),
      tails: count('hook', 'tails'),
      textKeyBytes: count('text_entry', 'bytes'),
      tailKeyBytes: count('tail_entry', 'bytes'),
    },
  )
  assert.equal(wire.NO_ARG, defined?.get('LAYOUT_NO_ARG'))
  assert.ok((count('hook', 'arg_index') ?? 0) >= wire.LIMITS.args)
  assert.ok((count('hook', 'arg_type') ?? 0) >= wire.LIMITS.args)
  assert.equal(object('hook.typed.bpf.o').structs.get('join_value')?.members.get('args')?.count, wire.LIMITS.args)
  // The walk must still know a head's components when it has the one behind them.
  assert.ok((defined?.get('LAYOUT_TOP_MAX') ?? 0) > wire.LIMITS.headParts)
})

test('wire: the constants that the agent sets before load are there, in their sizes', () => {
  const common = { ring_watermark: 8, rename_lock_address: 8, mount_lock_address: 8 }
  const hooks = { ...common, agent_tgid: 4, hooks: wire.LIMITS.hookSlots * wire.HOOK.bytes }
  for (const [file, want] of [
    ['process.bpf.o', common] as const,
    ...HOOK_OBJECTS.map((name) => [name, hooks] as const),
  ]) {
    const { variables } = object(file)
    for (const [name, bytes] of Object.entries(want)) {
      assert.equal(variables.get(name)?.sizeBytes, bytes, `${name} in ${file}`)
    }
  }
})

test('wire: what a CPU counts, and its names in the order of the enum', () => {
  checked.add('COUNTERS')
  checked.add('CPU_STATE_BYTES')
  const { structs, enums } = object('layout.bpf.o')
  const names = [...(enums.get('counter') ?? [])].map(([name, value], i) => {
    assert.equal(value, i)
    return name.replace(/^COUNTER_/, '').toLowerCase()
  })
  assert.deepEqual([...wire.COUNTERS, 'max'], names)
  for (const file of ['process.bpf.o', ...HOOK_OBJECTS]) {
    const state = object(file).structs.get('cpu_state')
    assert.equal(state?.sizeBytes, wire.CPU_STATE_BYTES, file)
    assert.equal(state?.members.get('seq')?.offset, 0)
    assert.equal(state?.members.get('counters')?.offset, 8)
  }
  assert.equal(structs.get('cpu_state')?.members.get('counters')?.count, wire.COUNTERS.length)
})

/** Every constant of wire.ts that begins like the enum's, as [C name, number]. */
function constants(names: readonly string[]): Record<string, number> {
  for (const name of names) checked.add(name)
  return Object.fromEntries(
    Object.entries(wire).flatMap(([name, value]) =>
      names.includes(name) && typeof value === 'number' ? [[name, value]] : [],
    ),
  )
}

const ENUMS: ReadonlyArray<readonly [name: string, names: readonly string[]]> = [
  ['event_type', ['EVENT_EXEC', 'EVENT_FORK', 'EVENT_EXIT', 'EVENT_HOOK']],
  ['hook_flag', ['HOOK_HAS_RETURN']],
  ['value_kind', ['VALUE_INT', 'VALUE_UINT', 'VALUE_STRING', 'VALUE_FILE', 'VALUE_ERROR']],
  ['value_flag', ['VALUE_UNRESOLVED', 'VALUE_DELETED', 'VALUE_TRUNCATED', 'VALUE_UNSTABLE']],
]

for (const [name, names] of ENUMS) {
  test(`wire: enum ${name} has these numbers and no others`, () => {
    assert.deepEqual(constants(names), Object.fromEntries(object('layout.bpf.o').enums.get(name) ?? []))
  })
}

/** C's names of wire.ts's: `notEqual` → `OP_NOT_EQUAL`. */
const upper = (prefix: string, all: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(all).map(([name, value]) => [prefix + snake(name).toUpperCase(), value]))

test('wire: argument types and operators', () => {
  checked.add('ARG_TYPES')
  checked.add('OPS')
  const { enums } = object('layout.bpf.o')
  assert.deepEqual(upper('ARG_', wire.ARG_TYPES), Object.fromEntries(enums.get('arg_type') ?? []))
  assert.deepEqual(upper('OP_', wire.OPS), Object.fromEntries(enums.get('filter_op') ?? []))
})

test('wire: process flags are the bits that the kernel side sets; inInitTree is user space’s own', () => {
  checked.add('PROCESS_FLAGS')
  const words: Readonly<Record<string, string>> = {
    PROCESS_EXECVE: 'execve',
    PROCESS_PROCFS: 'procFS',
    PROCESS_TRUNC_ARGS: 'truncArgs',
    PROCESS_MISS: 'miss',
    PROCESS_ERROR_FILENAME: 'errorFilename',
    PROCESS_ERROR_ARGS: 'errorArgs',
    PROCESS_NO_CWD: 'nocwd',
    PROCESS_ROOT_CWD: 'rootcwd',
    PROCESS_ERROR_CWD: 'errorCWD',
    PROCESS_CLONE: 'clone',
    PROCESS_ERROR_CGROUP_NAME: 'errorCgroupName',
    PROCESS_ERROR_PATH_CWD: 'errorPathResolutionCwd',
  }
  const found = [...(object('layout.bpf.o').enums.get('process_flag') ?? [])].map(([name, bit]) => [words[name], bit])
  assert.deepEqual({ ...Object.fromEntries(found), inInitTree: 0x200_0000 }, { ...wire.PROCESS_FLAGS })
})

test('wire: the return value’s index is the one that the hook template writes', () => {
  checked.add('RETURN_INDEX')
  const written = /v->index = (\d+);/.exec(readFileSync(join(BPF, 'call.h'), 'utf8'))?.[1]
  assert.equal(Number(written), wire.RETURN_INDEX)
})

test('wire: no constant is left unchecked', () => {
  assert.deepEqual(
    Object.keys(wire).filter((name) => !checked.has(name)),
    [],
  )
})

test('btf reader: a missing file is an error with the next step', () => {
  assert.throws(() => object('none.bpf.o'), /none\.bpf\.o: expected a built BPF object; run `make -C bpf`/)
})
