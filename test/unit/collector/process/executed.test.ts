/** Details that only the event of an exec has: how they are put together from records, and their bounds. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import type { RawData, RawExec } from '../../../../collector/wire/decode.ts'
import {
  DATA_ARGV,
  DATA_ENV,
  PROCESS_DETAIL,
  RAISED_FILE_CAPABILITIES,
  RAISED_SETGID,
  RAISED_SETGID_ROOT,
  RAISED_SETUID,
  RAISED_SETUID_ROOT,
} from '../../../../collector/wire/wire.ts'
import { ExecutedFacts } from '../../../../collector/process/detail/executed.ts'
import { ProcessFiles } from '../../../../collector/process/detail/process-files.ts'
import { readEnvironment } from '../../../../collector/process/detail/environment.ts'
import { PROCESS_FLAGS } from '../../../../collector/wire/flags.ts'
import { exec } from '../support/processes.ts'

const ALL = { enable_process_cred: true, enable_process_environment_variables: true, filter_environment_variables: [] }
const NONE = { ...ALL, enable_process_cred: false, enable_process_environment_variables: false }

const data = (of: number, at: number, bytes: string | Buffer, change: Partial<RawData> = {}): RawData => ({
  op: 'data',
  cpu: 0,
  seq: 0,
  sec: 0,
  nsec: 0,
  tgid: 200,
  tid: 200,
  startLo: 7,
  startHi: 0,
  of,
  at,
  bytes: Buffer.from(bytes),
  ...change,
})

const long = (argvTotal: number, change: Partial<RawExec> = {}): RawExec =>
  exec(200, 7, 100, 1, { argv: ['x', 'begin'] }, { argvTotal, ...change })

const CUT = PROCESS_FLAGS.execve | PROCESS_FLAGS.truncArgs | PROCESS_FLAGS.dataArgs

test('executed: long arguments are joined from the exec record and the records before it', () => {
  const facts = new ExecutedFacts(NONE)
  facts.keep(data(DATA_ARGV, 0, 'ning\0a'))
  facts.keep(data(DATA_ARGV, 6, 'b\0'))
  const raw = long(15, { argv: Buffer.from('x\0begin') })
  assert.deepEqual(facts.of(raw, CUT), { arguments: 'beginning ab', flags: 'execve dataArgs' }, 'whole')
  assert.equal(facts.waitingBytes, 0)
  assert.equal(facts.of(raw, CUT), undefined, 'used once')
})

const INCOMPLETE: ReadonlyArray<readonly [name: string, sent: readonly RawData[], want: string | undefined]> = [
  ['nothing was sent', [], undefined],
  ['the last part is missing', [data(DATA_ARGV, 0, 'ning\0a')], 'beginning a'],
  ['the first part is missing', [data(DATA_ARGV, 6, 'b\0')], undefined],
  ['a part between is missing', [data(DATA_ARGV, 0, 'ning'), data(DATA_ARGV, 5, 'ab\0')], 'beginning'],
  ['of another image', [data(DATA_ARGV, 0, 'ning\0ab\0', { startLo: 6 })], undefined],
  ['of another process', [data(DATA_ARGV, 0, 'ning\0ab\0', { tgid: 201 })], undefined],
  ['of an unknown kind', [data(9, 0, 'ning\0ab\0')], undefined],
]
for (const [name, sent, want] of INCOMPLETE) {
  test(`executed: arguments stay marked as cut if ${name}`, () => {
    const facts = new ExecutedFacts(NONE)
    for (const each of sent) facts.keep(each)
    const found = facts.of(long(16, { argv: Buffer.from('x\0begin') }), CUT)
    assert.deepEqual(found, want === undefined ? undefined : { arguments: want })
  })
}

test('executed: data that waits for execs that never come is bounded', () => {
  const facts = new ExecutedFacts(NONE)
  const part = Buffer.alloc(16_384, 0x61)
  for (let tgid = 1; tgid <= 2_000; tgid++) facts.keep(data(DATA_ARGV, 0, part, { tgid }))
  assert.ok(facts.waitingBytes <= 16 << 20, `${facts.waitingBytes} bytes`)
  // The latest is still whole.
  facts.keep(data(DATA_ARGV, 0, 'ning\0ab\0'))
  assert.deepEqual(facts.of(long(15, { argv: Buffer.from('x\0begin') }), CUT)?.arguments, 'beginning ab')
})

test('executed: arguments take at most 448 KiB as JSON, whatever their characters', () => {
  for (const [unit, kept] of [
    ['a', 340_000],
    ['"', 229_376 - 1],
    ['\u0001', 76_458 - 1],
  ] as const) {
    const facts = new ExecutedFacts(NONE)
    facts.keep(data(DATA_ARGV, 0, unit.repeat(340_000)))
    const found = facts.of(long(340_007, { argv: Buffer.from('x\0begin') }), CUT)
    const text = found?.arguments ?? ''
    assert.ok(Buffer.byteLength(JSON.stringify(text)) <= (448 << 10) + 2)
    assert.ok(text.length >= kept, `${text.length} characters`)
    // Cut again, so still marked.
    assert.equal(found?.flags, unit === 'a' ? 'execve dataArgs' : undefined)
  }
})

const ENVIRONMENTS: ReadonlyArray<
  readonly [name: string, bytes: string | Buffer, want: ReadonlyArray<readonly [string, string]>]
> = [
  ['none', '', []],
  [
    'two',
    'A=1\0B=2\0',
    [
      ['A', '1'],
      ['B', '2'],
    ],
  ],
  [
    'without a last NUL',
    'A=1\0B=2',
    [
      ['A', '1'],
      ['B', '2'],
    ],
  ],
  [
    'empty values, and more than one =',
    'A=\0B==x=\0',
    [
      ['A', ''],
      ['B', '=x='],
    ],
  ],
  ['without =', 'PATH\0', [['invalid', 'PATH']]],
  ['without a name', '=1\0', [['', '1']]],
  [
    'an empty one',
    '\0A=1\0',
    [
      ['invalid', ''],
      ['A', '1'],
    ],
  ],
  [
    'the same name twice',
    'A=1\0A=2\0',
    [
      ['A', '1'],
      ['A', '2'],
    ],
  ],
  ['bytes that are no UTF-8', Buffer.from([0x41, 0x3d, 0xff, 0xfe, 0]), [['A', '\uFFFD']]],
]
for (const [name, bytes, variables] of ENVIRONMENTS) {
  test(`executed: environment: ${name}`, () => {
    assert.deepEqual(readEnvironment(Buffer.from(bytes), true, undefined), { variables, cut: false })
  })
}

test('executed: a cut environment lacks its last variable, and the record is marked', () => {
  const facts = new ExecutedFacts(ALL)
  facts.keep(data(DATA_ENV, 0, 'A=1\0SECRET=be'))
  const found = facts.of(long(8, { envTotal: 30 }), PROCESS_FLAGS.execve)
  assert.deepEqual(found, { environment: [['A', '1']], flags: 'execve errorEnvs' })
})

test('executed: an environment that could not be read is marked', () => {
  const found = new ExecutedFacts(ALL).of(long(8, { envTotal: 30 }), PROCESS_FLAGS.execve)
  assert.deepEqual(found, { flags: 'execve errorEnvs' })
})

test('executed: only variables with these names are recorded, even behind others that are too long', () => {
  const many = `JUNK=${'\u0001'.repeat(9_000)}\0`.repeat(3)
  const facts = new ExecutedFacts({ ...ALL, filter_environment_variables: ['LD_PRELOAD', 'NONE'] })
  facts.keep(data(DATA_ENV, 0, `${many}LD_PRELOAD=x\0`))
  const found = facts.of(long(8, { envTotal: many.length + 13 }), PROCESS_FLAGS.execve)
  assert.deepEqual(found, { environment: [['LD_PRELOAD', 'x']] })
  const { variables, cut } = readEnvironment(Buffer.from(many), true, undefined)
  assert.deepEqual([variables.length, cut], [0, true])
})

test('executed: the environment is recorded only if the config enables it', () => {
  const facts = new ExecutedFacts(NONE)
  facts.keep(data(DATA_ENV, 0, 'A=1\0'))
  assert.equal(facts.of(long(8, { envTotal: 4 }), PROCESS_FLAGS.execve), undefined)
})

const RAISED: ReadonlyArray<readonly [bits: number, want: object]> = [
  [RAISED_SETUID, { setuid: 1234 }],
  [RAISED_SETUID | RAISED_SETUID_ROOT, { setuid: 1234, privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_SETUID'] }],
  [RAISED_SETGID, { setgid: 55 }],
  [
    RAISED_SETGID | RAISED_SETGID_ROOT | RAISED_FILE_CAPABILITIES,
    { setgid: 55, privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_CAP', 'PRIVILEGES_RAISED_EXEC_FILE_SETGID'] },
  ],
]
for (const [raised, want] of RAISED) {
  test(`executed: changes by a file, bits ${raised}`, () => {
    const detail = Buffer.alloc(PROCESS_DETAIL.bytes)
    detail.writeUInt32LE(1234, PROCESS_DETAIL.euid)
    detail.writeUInt32LE(55, PROCESS_DETAIL.egid)
    const raw = long(8, { raised, detail })
    const found = new ExecutedFacts({ ...ALL, enable_process_environment_variables: false }).of(raw, 1)
    assert.deepEqual(Object.fromEntries(found?.raised ?? []), want)
    assert.equal(new ExecutedFacts(NONE).of(raw, 1), undefined)
  })
}

const procfs = mkdtempSync(join(tmpdir(), 'executed-'))
after(() => rmSync(procfs, { recursive: true }))

test('executed: the environment of a running process, from /proc', async () => {
  mkdirSync(join(procfs, '5'))
  const files = new ProcessFiles(procfs)
  const facts = new ExecutedFacts(ALL)
  writeFileSync(join(procfs, '5', 'environ'), 'A=1\0')
  assert.deepEqual(await facts.ofRunning(files, { pid: 5, uid: 0 }, PROCESS_FLAGS.procFS), {
    environment: [['A', '1']],
  })
  writeFileSync(join(procfs, '5', 'environ'), `A=1\0B=${'x'.repeat(40_000)}\0`)
  assert.deepEqual(await facts.ofRunning(files, { pid: 5, uid: 0 }, PROCESS_FLAGS.procFS), {
    environment: [['A', '1']],
    flags: 'procFS errorEnvs',
  })
  assert.deepEqual(await facts.ofRunning(files, { pid: 6, uid: 0 }, PROCESS_FLAGS.procFS), {
    flags: 'procFS errorEnvs',
  })
  assert.equal(await new ExecutedFacts(NONE).ofRunning(files, { pid: 5, uid: 0 }, PROCESS_FLAGS.procFS), undefined)
})
