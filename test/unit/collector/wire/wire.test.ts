/** The layouts that user space has, compared with the BTF of the built objects. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readBtf } from '../../../support/wire/btf.ts'
import type { Btf } from '../../../support/wire/btf.ts'
import { builtFile } from '../../../../native/index.ts'
import * as wire from '../../../../collector/wire/wire.ts'
import { wireConstants } from '../../../../test/support/wire/write-wire.ts'
import { PROCESS_FLAGS } from '../../../../collector/wire/flags.ts'

const object = (name: string): Btf => readBtf(builtFile(name))
const PROCESS_OBJECTS = ['process.bpf.o', 'process.bounded.bpf.o']
const HOOK_OBJECTS = ['typed_old', 'typed', 'typed_ctx', 'probe', 'bounded'].map((name) => `hook.${name}.bpf.o`)

test('wire: wire.ts matches bpf/ (else: make -C bpf, node test/support/wire/write-wire.ts, npm run format)', () => {
  assert.deepEqual({ ...wire }, Object.fromEntries(wireConstants(object('layout.bpf.o'))))
})

test('wire: in every object, the structs of the contract equal those of layout.bpf.o', () => {
  const { structs } = object('layout.bpf.o')
  for (const file of [...PROCESS_OBJECTS, ...HOOK_OBJECTS, 'files.bpf.o', 'aggregate.bpf.o']) {
    const own = [...object(file).structs].filter(([name]) => structs.has(name))
    assert.ok(own.length > 0, file)
    for (const [name, struct] of own) assert.deepEqual(struct, structs.get(name), `${name} in ${file}`)
  }
})

test('wire: integers have the widths that decode and layout read and write', () => {
  const { structs } = object('layout.bpf.o')
  const size = (struct: string, member: string): number | undefined =>
    structs.get(struct)?.members.get(member)?.sizeBytes
  const widths: ReadonlyArray<readonly [struct: string, bytes: number, members: string]> = [
    ['event_header', 1, 'type nargs'],
    ['event_header', 2, 'cpu selector flags'],
    ['event_header', 4, 'size time_sec time_nsec tgid tid hook_id'],
    ['event_header', 8, 'seq start_ns'],
    ['value', 1, 'kind index'],
    ['value', 2, 'len places flags'],
    ['file_info', 8, 'ino'],
    ['file_info', 4, 'dev mode'],
    ['exec_body', 8, 'parent_start_ns cgroup_id file_ino'],
    ['exec_body', 4, 'parent_tgid euid auid flags nspid argc argv_len file_links'],
    ['process_detail', 8, 'permitted effective inheritable'],
    ['process_detail', 4, 'uid gid euid egid suid sgid fsuid fsgid securebits user_ns_level user_ns_uid user_ns_gid'],
    ['exec_body', 2, 'filename_len cwd_len cgroup_len path_len cgroup_state'],
    ['fork_body', 8, 'parent_start_ns cgroup_id'],
    ['fork_body', 4, 'parent_tgid nspid'],
    ['fork_body', 2, 'cgroup_len cgroup_state'],
    ['exit_body', 4, 'code'],
    ['process', 8, 'start_ns parent_start_ns cgroup_id'],
    ['process', 4, 'parent_tgid forked'],
    ['hook', 4, 'id words all selectors nselectors'],
    ['hook', 1, 'from nvalues nnumbers'],
    ['wanted_value', 1, 'param type index'],
    ['screened_number', 1, 'param type'],
    ['screened_number', 4, 'sets'],
    ['path_screen', 16, 'first'],
    ['path_screen', 4, 'suffix suffixes all others'],
    ['path_screen', 2, 'suffix_open'],
    ['path_screen', 1, 'param type'],
    ['node', 4, 'id here below open'],
    ['edge', 8, 'word'],
    ['edge', 4, 'node len'],
    ['selector', 4, 'policy_hook'],
    ['selector', 1, 'index count undecided return_type'],
    ['filter', 1, 'value class op count'],
    ['filter', 4, 'id'],
    ['identity', 8, 'ino'],
    ['identity', 4, 'dev generation'],
    ['identified', 4, 'links mode'],
    ['identity_filters', 8, 'own below'],
    ['identity_screen', 8, 'devices unknown round'],
    ['linked_filters', 8, 'filters round'],
    ['linked_news', 8, 'unknown moved'],
    ['file_screen', 8, 'wanted'],
    ['file_screen', 4, 'others'],
    ['repeat_key', 4, 'policy_hook caller'],
    ['repeat_key', 8, 'arguments'],
    ['taken_aggregate', 8, 'count total_bytes last_ns'],
    ['action', 4, 'aggregate'],
    ['hook', 1, 'at_return stacks'],
    ['hook', 2, 'condition_words'],
    ['number_key', 4, 'filter'],
    ['number_key', 8, 'number'],
  ]
  for (const [struct, bytes, members] of widths) {
    for (const member of members.split(' ')) assert.equal(size(struct, member), bytes, `${struct}.${member}`)
  }
})

test('wire: the key head of a text stands right before its bytes, in records and in keys of maps', () => {
  for (const entry of [wire.TEXT_ENTRY, wire.SUFFIX_ENTRY]) {
    assert.deepEqual(
      [entry.bits, entry.filter, entry.text],
      [wire.TEXT_KEY.bits, wire.TEXT_KEY.filter, wire.TEXT_KEY.bytes],
    )
  }
})

test('wire: the constants that the agent sets before the load exist, with their sizes', () => {
  const common = { ring_watermark: 8, rename_lock_address: 8, mount_lock_address: 8 }
  const hooks = { ...common, agent_tgid: 4, hooks: wire.HOOK_SLOTS * wire.HOOK.bytes }
  for (const [file, want] of [
    ...PROCESS_OBJECTS.map((name) => [name, common] as const),
    ...HOOK_OBJECTS.map((name) => [name, hooks] as const),
  ]) {
    const { variables } = object(file)
    for (const [name, bytes] of Object.entries(want)) {
      assert.equal(variables.get(name)?.sizeBytes, bytes, `${name} in ${file}`)
    }
  }
})

test('wire: counters are numbered from 0 without gaps', () => {
  const numbers = [...(object('layout.bpf.o').enums.get('counter')?.values() ?? [])]
  assert.deepEqual(
    numbers,
    Array.from({ length: wire.COUNTERS.length + 1 }, (_, i) => i),
  )
  assert.equal(wire.CPU_STATE.bytes, wire.CPU_STATE.counters + 8 * wire.COUNTERS.length)
})

test('wire: every process flag of the kernel side has a word; inInitTree is user space’s own', () => {
  const bits = [...(object('layout.bpf.o').enums.get('process_flag')?.values() ?? [])]
  assert.deepEqual(Object.values(PROCESS_FLAGS), [...bits, PROCESS_FLAGS.inInitTree])
  assert.equal(PROCESS_FLAGS.inInitTree, 0x200_0000)
})

test('btf reader: a missing file is an error with the next step', () => {
  assert.throws(() => object('none.bpf.o'), /none\.bpf\.o: expected a built BPF object; run `make -C bpf`/)
})
