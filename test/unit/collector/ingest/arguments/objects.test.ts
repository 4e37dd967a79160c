/** Kernel structs and numbers with names in records: in JSON, and the same through the API. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { ResponseEncoder } from '../../../../../collector/api/events/encode.ts'
import { jsonLine } from '../../../../../collector/api/events/json.ts'
import { GetEventsResponseSchema } from '../../../../../collector/proto/tetragon/events_pb.js'
import { namedArgument, objectArgument } from '../../../../../collector/ingest/arguments/objects.ts'
import { MEMBERS_MAX, OBJECT_BYTES, OBJECT_INFO } from '../../../../../collector/wire/wire.ts'
import { TYPES, typeNamed } from '../../../../../config/policy/arguments.ts'
import type { Named } from '../../../../../config/policy/arguments.ts'
import type { Argument } from '../../../../../exporters/contract/event.ts'
import { argumentText } from '../../../../../exporters/encoding/arguments.ts'
import { redactArgument } from '../../../../../exporters/filtering/redact-argument.ts'
import { createJsonEncoder } from '../../../../../exporters/index.ts'
import { makeKprobe } from '../../../exporters/support/events.ts'

type Values = Readonly<Record<string, bigint | string>>

/** A record's argument with these members, by path; the others are 0. `failed`: members that could not be read. */
function argumentOf(name: string, values: Values, failed: readonly string[] = []): Argument {
  const type = typeNamed(name)
  assert.ok(type?.object !== undefined, name)
  const { members } = type.object
  const bytes = Buffer.alloc(OBJECT_INFO.bytes + OBJECT_BYTES)
  let at = OBJECT_INFO.bytes
  let mask = 0n
  for (const [i, { path, textBytes }] of members.entries()) {
    const value = values[path] ?? 0n
    if (failed.includes(path)) mask |= 1n << BigInt(i)
    if (typeof value === 'string') bytes.write(value, at)
    else bytes.writeBigUInt64LE(value, at)
    at += textBytes ?? 8
  }
  bytes.writeBigUInt64LE(mask, OBJECT_INFO.failed)
  return objectArgument(type, bytes, 0, at)
}

const ROOT = { uid: 0, gid: 0, euid: 0, egid: 0, suid: 0, sgid: 0, fsuid: 0, fsgid: 0 }
const HOST = { level: 0, uid: 0, gid: 0, ns: { is_host: true } }

const ROWS: ReadonlyArray<readonly [type: string, values: Values, want: unknown, text: string, failed?: string[]]> = [
  [
    'cred',
    {
      'uid.val': 1000n,
      'gid.val': 0xfffffffen,
      'euid.val': 0n,
      securebits: 0x11n,
      cap_permitted: 0b11n,
      cap_effective: 1n << 40n,
      'user_ns.ns.inum': 4026531837n,
    },
    {
      uid: 1000,
      gid: 0xfffffffe,
      euid: 0,
      egid: 0,
      suid: 0,
      sgid: 0,
      fsuid: 0,
      fsgid: 0,
      securebits: ['SecBitNoRoot', 'SecBitKeepCaps'],
      caps: { permitted: ['CAP_CHOWN', 'DAC_OVERRIDE'], effective: ['CAP_CHECKPOINT_RESTORE'] },
      user_ns: { level: 0, uid: 0, gid: 0, ns: { inum: 4026531837, is_host: true } },
    },
    '1000 0',
  ],
  ['cred', {}, { ...ROOT, caps: {}, user_ns: HOST }, '0 0'],
  [
    'cred',
    { cap_effective: 1n },
    { ...ROOT, caps: { effective: ['CAP_CHOWN'] }, user_ns: HOST },
    '0 0',
    ['cap_permitted'],
  ],
  ['cred', {}, { ...ROOT, user_ns: HOST }, '0 0', ['cap_permitted', 'cap_effective', 'cap_inheritable']],
  [
    'user_namespace',
    { level: 2n, 'owner.val': 1000n, 'group.val': 100n, 'ns.inum': 4026532000n },
    { level: 2, uid: 1000, gid: 100, ns: { inum: 4026532000 } },
    '2 4026532000',
  ],
  ['user_namespace', {}, {}, '', ['level', 'owner.val', 'group.val', 'ns.inum']],
  [
    'module',
    { name: 'nf_tables', taints: (1n << 12n) | (1n << 13n) },
    { name: 'nf_tables', tainted: ['TAINT_OUT_OF_TREE_MODULE', 'TAINT_UNSIGNED_MODULE'] },
    'nf_tables',
  ],
  ['module', { name: 'x' }, { name: 'x' }, 'x'],
  ['load_info', { name: 'x', sig_ok: 1n }, { name: 'x', signature_ok: true }, 'x'],
  ['load_info', { name: 'x' }, { name: 'x', signature_ok: false }, 'x'],
  ['load_info', { name: 'x' }, { name: 'x' }, 'x', ['sig_ok', 'mod.taints']],
  [
    'bpf_attr',
    { prog_type: 2n, insn_cnt: 2048n, prog_name: 'amazing-program' },
    { ProgType: 'BPF_PROG_TYPE_KPROBE', InsnCnt: 2048, ProgName: 'amazing-program' },
    'BPF_PROG_TYPE_KPROBE amazing-program',
  ],
  ['bpf_prog', { type: 99n }, { ProgType: '99' }, '99'],
  [
    'bpf_map',
    { map_type: 1n, key_size: 8n, value_size: 8n, max_entries: 1024n, name: 'amazing-map' },
    { MapType: 'BPF_MAP_TYPE_HASH', KeySize: 8, ValueSize: 8, MaxEntries: 1024, MapName: 'amazing-map' },
    'BPF_MAP_TYPE_HASH amazing-map',
  ],
  [
    'perf_event',
    { 'attr.kprobe_func': 'commit_creds', 'attr.type': 2n, 'attr.config': 1n << 60n },
    { KprobeFunc: 'commit_creds', Type: 'PERF_TYPE_TRACEPOINT', Config: '1152921504606846976' },
    'PERF_TYPE_TRACEPOINT commit_creds',
  ],
]

const NAMED: ReadonlyArray<readonly [field: string, named: Named, number: bigint, want: unknown]> = [
  ['capability_arg', 'capability', 21n, { value: 21, name: 'CAP_SYS_ADMIN' }],
  ['capability_arg', 'capability', 1n, { value: 1, name: 'DAC_OVERRIDE' }],
  ['capability_arg', 'capability', 0n, { value: 0, name: 'CAP_CHOWN' }],
  ['capability_arg', 'capability', 0xffff_ffff_ffff_ffffn, { value: -1 }],
  ['bpf_cmd_arg', 'bpfCommand', 5n, 'BPF_PROG_LOAD'],
  ['bpf_cmd_arg', 'bpfCommand', 0n, 'BPF_MAP_CREATE'],
  ['bpf_cmd_arg', 'bpfCommand', 99n, 99],
  ['kernel_cap_t_arg', 'capabilitySet', 0n, '0000000000000000'],
  ['cap_effective_arg', 'capabilitySet', 0xffff_ffff_ffff_ffffn, 'ffffffffffffffff'],
  ['cap_permitted_arg', 'capabilitySet', 0x1ff_ffff_ffffn, '000001ffffffffff'],
]

/** The argument in the JSON line of an event; through the API the line is the same. */
function shown(argument: Argument): unknown {
  const event = makeKprobe({ args: [argument], returned: undefined })
  const line = Buffer.from(createJsonEncoder({ nodeName: 'n' }).encode([event]).bytes).toString()
  const message = new ResponseEncoder('n').encode(event)
  assert.equal(`${jsonLine(fromBinary(GetEventsResponseSchema, message))}\n`, line)
  const parsed = JSON.parse(line) as { process_kprobe: { args: Array<Record<string, unknown>> } }
  return parsed.process_kprobe.args[0]?.[argument.field]
}

for (const [type, values, want, text, failed = []] of ROWS) {
  test(`objects: ${type} ${JSON.stringify(want)}`, () => {
    const argument = argumentOf(type, values, failed)
    assert.deepEqual(shown(argument), want)
    assert.equal(argumentText(argument), text)
  })
}

for (const [field, named, number, want] of NAMED) {
  test(`objects: ${number} as ${field}`, () => assert.deepEqual(shown(namedArgument(field, named, number)), want))
}

test('objects: every type has rows here, and room in a record', () => {
  const types = TYPES.flatMap(({ name, object }) => (object === undefined ? [] : [{ name, object }]))
  assert.deepEqual(types.map(({ name }) => name).toSorted(), [...new Set(ROWS.map(([type]) => type))].toSorted())
  for (const { name, object } of types) {
    assert.ok(object.members.length <= MEMBERS_MAX, name)
    assert.ok(object.members.reduce((sum, { textBytes = 8 }) => sum + textBytes, 0) <= OBJECT_BYTES, name)
  }
})

test('objects: a record that ends within the members shows those before', () => {
  const type = typeNamed('bpf_map')
  assert.ok(type !== undefined)
  const bytes = Buffer.alloc(64)
  bytes.writeBigUInt64LE(2n, OBJECT_INFO.bytes)
  assert.deepEqual(shown(objectArgument(type, bytes, 0, OBJECT_INFO.bytes + 12)), { MapType: 'BPF_MAP_TYPE_ARRAY' })
})

test('objects: texts within are redacted', () => {
  const redacted = redactArgument(argumentOf('module', { name: 'secret' }), (text) => text.replace('secret', '*'), {})
  assert.deepEqual(shown(redacted), { name: '*' })
  const credentials = argumentOf('cred', {})
  assert.equal(
    redactArgument(credentials, (text) => text, {}),
    credentials,
  )
})
