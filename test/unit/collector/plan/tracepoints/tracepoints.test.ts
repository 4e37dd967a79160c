/** Formats of tracepoints, and the parts that are read for a policy. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { RAW_TYPES, TRACEPOINT_TYPES } from '../../../../../config/policy/arguments.ts'
import type { ArgumentSpec, HookSpec } from '../../../../../config/policy/policy.ts'
import { eventNames, formatOf } from '../../../../../collector/kernel/tracefs.ts'
import { parseFormat } from '../../../../../collector/plan/tracepoints/format.ts'
import { fieldBytes } from '../../../../../collector/plan/tracepoints/fields.ts'
import { resolve } from '../../../../../collector/plan/tracepoints/resolve.ts'
import type { Traced, Tracepoints } from '../../../../../collector/plan/tracepoints/resolve.ts'
import { EVENT_FIELD, FIELDS } from '../../../../../collector/wire/wire.ts'
import { numbering } from '../../../../../collector/plan/functions/places.ts'
import type { KernelFunction, KernelMember } from '../../../../../native/types.ts'
import { spec } from '../../support/specs.ts'

/** As tracefs of 6.12 has it, with fields of other events. */
const FORMAT = `name: made_up
ID: 310
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;
	field:pid_t pid;	offset:12;	size:4;	signed:1;
	field:char comm[16];	offset:16;	size:16;	signed:0;
	field:const char * name;	offset:32;	size:8;	signed:0;
	field:unsigned long args[6];	offset:40;	size:48;	signed:0;
	field:void * skbaddr;	offset:88;	size:8;	signed:0;
	field:bool success;	offset:96;	size:1;	signed:0;
	field:__rel_loc char[] rest;	offset:100;	size:4;	signed:0;
	field:struct page * page;	offset:104;	size:8;	signed:0;
	field:long id;	offset:112;	size:8;	signed:1;
	field:__data_loc u8[] raw;	offset:120;	size:4;	signed:0;

print fmt: "filename=%s pid=%d", __get_str(filename), REC->pid
`

const RAW: KernelFunction = {
  returns: 'void',
  returnsBase: 'void',
  params: [
    { name: '', type: 'void *', base: 'void *', sizeBytes: 8 },
    { name: '', type: 'struct file *', base: 'struct file *', sizeBytes: 8 },
    { name: '', type: 'pid_t', base: 'int', sizeBytes: 4 },
  ],
}

const MEMBERS: Readonly<Record<string, KernelMember>> = {
  'file f_flags': { offsets: [64], base: 'unsigned int', sizeBytes: 4, signed: false, bit: 0, bits: 0, problem: '' },
  'cred uid.val': { offsets: [8], base: 'unsigned int', sizeBytes: 4, signed: false, bit: 0, bits: 0, problem: '' },
}

const kernel: Tracepoints = {
  format: (name) => (name.endsWith(':made_up') ? parseFormat(FORMAT) : undefined),
  names: () => ['a:made_up', 'sched:sched_process_exec'],
  functionType: (name) => (name === 'btf_trace_made_up' ? RAW : undefined),
  memberOf: (path) => MEMBERS[path],
}

const arg = (index: number, type: string): ArgumentSpec => ({
  index,
  type: [...TRACEPOINT_TYPES, ...RAW_TYPES].find(({ name }) => name === type) ?? assert.fail(type),
  label: '',
  at: { line: 9, col: 3 },
})

const asked = (index: number, type: string, change: object = {}): string[] => {
  const problems: string[] = []
  const hook = spec({ type: 'tracepoint', call: 'a:made_up', args: [arg(index, type)], ...change })
  const traced = resolve(hook, kernel, numbering(), ({ line }, message) => void problems.push(`${line}: ${message}`))
  if (traced === undefined) return problems
  assert.deepEqual(problems, [])
  return traced.spec.args.map(({ index: param, type: { name } }, i) => {
    const { offset, bytes, kind } = traced.fields[i] ?? assert.fail()
    return `${param} ${name}: ${kind} ${bytes} at ${offset}`
  })
}

test('tracepoints: a format as fields, the common ones first', () => {
  const fields = parseFormat(FORMAT)
  assert.deepEqual(fields[3], { name: 'common_pid', type: 'int', offset: 4, bytes: 4, signed: true })
  assert.deepEqual(
    fields.slice(4).map(({ name, type }) => `${name}: ${type}`),
    [
      'filename: __data_loc char []',
      'pid: pid_t',
      'comm: char [16]',
      'name: const char *',
      'args: unsigned long [6]',
      'skbaddr: void *',
      'success: bool',
      'rest: __rel_loc char []',
      'page: struct page *',
      'id: long',
      'raw: __data_loc u8 []',
    ],
  )
  assert.deepEqual(parseFormat('no format'), [])
})

test('tracepoints: the format of one event in tracefs, and the list of all', () => {
  const files: Record<string, string> = { 'events/a/made_up/format': FORMAT, available_events: 'a:made_up\nb:c\n' }
  assert.equal(formatOf('a:made_up', (file) => files[file])?.length, 15)
  assert.equal(
    formatOf('a:other', (file) => files[file]),
    undefined,
  )
  assert.deepEqual(
    eventNames((file) => files[file]),
    ['a:made_up', 'b:c'],
  )
  assert.deepEqual(
    eventNames(() => undefined),
    [],
  )
})

for (const [index, type, want] of [
  [4, 'data_loc', '0 data_loc: located 4 at 8'],
  [4, 'string', '0 string: located 4 at 8'],
  [4, 'auto', '0 string: located 4 at 8'],
  [5, 'int', '0 int: signed 4 at 12'],
  [5, 'uint64', '0 uint64: signed 4 at 12'],
  [5, 'auto', '0 int32: signed 4 at 12'],
  [6, 'string', '0 string: place 16 at 16'],
  [6, 'auto', '0 string: place 16 at 16'],
  [7, 'string', '0 string: unsigned 8 at 32'],
  [9, 'skb', '0 skb: unsigned 8 at 88'],
  [10, 'auto', '0 uint8: unsigned 1 at 96'],
  [11, 'data_loc', '0 data_loc: locatedOn 4 at 100'],
  [12, 'nop', '0 nop: unsigned 8 at 104'],
  [13, 'syscall64', '0 syscall64: syscall 8 at 112'],
  [13, 'auto', '0 int64: signed 8 at 112'],
] as const) {
  test(`tracepoints: field ${index} as ${type} → ${want}`, () => assert.deepEqual(asked(index, type), [want]))
}

const misfit = (index: number, type: string, got: string): string =>
  `9: argument ${index} of a:made_up: type "${type}" does not fit, the kernel's is ${got}`

for (const [index, type, want] of [
  [4, 'int', '"__data_loc char []" (filename)'],
  [5, 'string', '"pid_t" (pid)'],
  [5, 'file', '"pid_t" (pid)'],
  [6, 'data_loc', '"char [16]" (comm)'],
  [8, 'uint64', '"unsigned long [6]" (args)'],
  [8, 'auto', '"unsigned long [6]" (args)'],
  [9, 'uint64', '"void *" (skbaddr)'],
  [9, 'syscall64', '"void *" (skbaddr)'],
  [12, 'skb', '"struct page *" (page)'],
  [12, 'auto', '"struct page *" (page)'],
  [14, 'string', '"__data_loc u8 []" (raw)'],
] as const) {
  test(`tracepoints: field ${index} is no ${type}`, () =>
    assert.deepEqual(asked(index, type), [misfit(index, type, want)]))
}

test('tracepoints: a field that the event does not have', () => {
  assert.match(
    asked(15, 'int').join(),
    /^9: argument index 15 of a:made_up: expected 0 to 14; the event has 4 filename, 5 pid,.* 14 raw$/,
  )
})

test('tracepoints: programs do not get texts that the kernel copies at system calls', () => {
  assert.match(asked(4, 'string', { call: 'syscalls:made_up' }).join(), /does not fit/)
  assert.deepEqual(asked(7, 'string', { call: 'syscalls:made_up' }), ['0 string: unsigned 8 at 32'])
})

test('tracepoints: a tracepoint that the kernel does not have', () => {
  assert.deepEqual(asked(4, 'int', { call: 'a:made_op' }), [
    '3: no tracepoint "a:made_op" in this kernel: did you mean a:made_up?',
  ])
  assert.deepEqual(asked(4, 'int', { call: 'nothing:like_it', type: 'rawTracepoint' }), [
    '3: no tracepoint "nothing:like_it" in this kernel: see /sys/kernel/tracing/available_events for the names',
  ])
  const problems: string[] = []
  const hook = spec({ type: 'tracepoint', call: 'a:other', args: [] })
  resolve(hook, { ...kernel, names: () => [] }, numbering(), (_, message) => void problems.push(message))
  assert.match(problems.join(), /cannot read \/sys\/kernel\/tracing\/available_events; mount tracefs there/)
})

test('tracepoints: arguments of a raw tracepoint', () => {
  const raw = { type: 'rawTracepoint' }
  assert.deepEqual(asked(0, 'file', raw), ['0 file: unsigned 8 at 0'])
  assert.deepEqual(asked(1, 'syscall64', raw), ['0 syscall64: syscall 8 at 8'])
  assert.deepEqual(asked(1, 'file', raw), [
    '9: argument 1 of raw tracepoint a:made_up: type "file" does not fit, the kernel\'s is "pid_t"',
  ])
  assert.deepEqual(asked(2, 'int', raw), [
    '9: argument index 2 of raw tracepoint a:made_up: it has 2 arguments: struct file *, pid_t',
  ])
})

test('tracepoints: members of structs at which arguments of a raw tracepoint point', () => {
  const at = (index: number, path: string, struct?: string): ArgumentSpec => ({
    ...arg(index, 'int'),
    resolve: { path, struct },
  })
  const resolved = (args: readonly ArgumentSpec[], selectors: HookSpec['selectors'] = []): Traced | string => {
    const problems: string[] = []
    const hook = spec({ type: 'rawTracepoint', call: 'a:made_up', args, selectors })
    const traced = resolve(hook, kernel, numbering(), (_, message) => void problems.push(message))
    return traced ?? problems.join()
  }
  const filter = { arg: 0, class: 'number', operator: 'Equal', values: [-1n, 5n], at: { line: 9, col: 3 } } as const
  const traced = resolved([at(0, 'f_flags'), at(0, 'uid.val', 'cred'), arg(0, 'file')], [{ matchArgs: [filter] }])
  assert.ok(typeof traced === 'object', String(traced))
  // Each member is a field of its own; the kernel side walks from there.
  const field = { offset: 0, bytes: 8, kind: 'unsigned' }
  assert.deepEqual(traced.fields, [field, field, field])
  assert.deepEqual(
    traced.spec.args.map(({ index, type, places }) => [index, type.name, places?.list[0]?.last]),
    [
      [0, 'uint32', 64],
      [1, 'uint32', 8],
      [2, 'file', undefined],
    ],
  )
  assert.deepEqual(traced.spec.selectors[0]?.matchArgs, [{ ...filter, values: [5n] }])
  const refused = 'argument 1 of raw tracepoint a:made_up: resolve: '
  assert.equal(
    resolved([at(1, 'x')]),
    `${refused}the struct that the argument points to is not known; name it with btfType`,
  )
  assert.equal(resolved([at(1, 'x', 'cred')]), `${refused}this kernel has no type information`)
})

test('tracepoints: fields as the kernel side reads them', () => {
  const bytes = fieldBytes([
    { offset: 0x102, bytes: 8, kind: 'signed' },
    { offset: 4, bytes: 4, kind: 'located' },
  ])
  assert.equal(bytes.length, 2 * EVENT_FIELD.bytes)
  assert.deepEqual([...bytes], [2, 1, 8, FIELDS.signed, 4, 0, 4, FIELDS.located])
})
