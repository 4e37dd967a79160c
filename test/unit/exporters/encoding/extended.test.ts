/** Format `extended`: its fields beside Tetragon's record, with and without an envelope, after filters and redaction. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attributes } from '../../../../exporters/encoding/otlp/mapping.ts'
import { EncoderPool, Numberings } from '../../../../exporters/index.ts'
import type { Event } from '../../../../exporters/contract/event.ts'
import type { FileDetails } from '../../../../exporters/contract/file-details.ts'
import { file, int, makeExec, makeHook, makeKprobe, makeLoss, text } from '../support/events.ts'
import { goldenEvents } from '../support/golden-events.ts'

const numbering = new Numberings('run').of('a')
const extended = { numbering, envelope: false, extended: true }

const linesOf = (events: readonly Event[], pool = new EncoderPool('n'), how = extended): string[] =>
  Buffer.from(pool.linesFor(how).encode(events).bytes).toString().split('\n').slice(0, -1)

/** The member `ktrail` of the event's line. */
const told = (event: Event, pool?: EncoderPool): unknown => JSON.parse(linesOf([event], pool)[0] ?? '').ktrail

const NAME = Buffer.from('/tmp/a\xff', 'latin1')
const ROWS: ReadonlyArray<readonly [name: string, event: Event, want: unknown]> = [
  [
    'a read',
    makeKprobe({ args: [file('/etc/passwd', { inode: 2n ** 63n + 1n, device: (259 << 20) | 3 }), int(4)] }),
    { access: 'read', files: [{ arg: 0, inode: '9223372036854775809', device: '259:3' }] },
  ],
  [
    'a write that was denied',
    makeKprobe({
      args: [int(1), file('/etc/passwd', { device: 1 })],
      hook: makeHook({ functionName: 'vfs_write', indexes: [2, 0] }),
      returned: int(-13),
    }),
    { access: 'write', denied: true, files: [{ arg: 1, inode: '7', device: '0:1' }] },
  ],
  [
    'a deleted file with a name that is no UTF-8',
    makeKprobe({
      hook: makeHook({ functionName: 'f' }),
      args: [file('/tmp/a\ufffd (deleted)', { deleted: true, raw: NAME })],
    }),
    { files: [{ arg: 0, inode: '7', device: '0:1', deleted: true, path_bytes: NAME.toString('base64') }] },
  ],
  [
    'paths that are partial',
    makeKprobe({
      hook: makeHook({ functionName: 'f' }),
      args: [file('/b', { unresolved: true }), file('', { unresolved: true, unstable: true })],
    }),
    {
      files: [
        { arg: 0, inode: '7', device: '0:1', partial: ['too_deep_or_long'] },
        { arg: 1, inode: '7', device: '0:1', partial: ['too_deep_or_long', 'renamed_while_read'] },
      ],
    },
  ],
  [
    'texts',
    makeKprobe({
      hook: makeHook({ functionName: 'f' }),
      args: [text('plain'), { ...text('a\ufffd'), kind: 'string', value: 'a\ufffd', raw: NAME, truncated: true }],
    }),
    { texts: [{ arg: 1, truncated: true, bytes: NAME.toString('base64') }] },
  ],
  ['a call without files', makeKprobe({ hook: makeHook({ functionName: 'f' }), args: [int(1)] }), undefined],
  ['an exec', makeExec(), undefined],
  ['a loss', makeLoss(), undefined],
]

for (const [name, event, want] of ROWS) {
  test(`extended: ${name}`, () => assert.deepEqual(told(event), want))
}

test('extended: OTLP has the first file’s details as attributes, if the exporter requests them', () => {
  const details = (change: object, file_details: boolean): Record<string, unknown> => {
    const out: Record<string, unknown> = {}
    const put = ({ name }: { readonly name: string }, value: unknown): void => void (out[name] = value)
    const sink = { text: put, integer: put, flag: put, list: put }
    const options = { arg_labels: false, pod_labels: [], command_line: false, file_details }
    const { args, hook } = makeKprobe({
      args: [file('/tmp/a', change), file('/b')],
      hook: makeHook({ functionName: 'f' }),
    })
    attributes(makeKprobe({ args, hook }), options, sink)
    return Object.fromEntries(Object.entries(out).filter(([name]) => /file\.(?!path$|mode|target)/.test(name)))
  }
  assert.deepEqual(details({}, false), {})
  assert.deepEqual(details({}, true), { 'file.inode': '7', 'ktrail.file.device': '0:1' })
  assert.deepEqual(details({ deleted: true, unresolved: true, raw: NAME }, true), {
    'file.inode': '7',
    'ktrail.file.device': '0:1',
    'ktrail.file.deleted': true,
    'ktrail.file.partial': ['too_deep_or_long'],
    'ktrail.file.path_bytes': NAME.toString('base64'),
  })
  const content = { sizeBytes: 4096, changed: { sec: 1_700_000_000, nsec: 0 }, generation: 9, links: 2 }
  assert.deepEqual(details({ details: { ...DETAILS, content } }, true), {
    'file.inode': '7',
    'ktrail.file.device': '0:1',
    'ktrail.file.partial': ['detached_mount'],
    'ktrail.file.named': '/etc/shadow',
    'ktrail.file.links': 2,
    'ktrail.file.generation': 9,
    'file.size': 4096,
    'file.changed': '2023-11-14T22:13:20Z',
    'ktrail.file.mount_id': 31,
    'ktrail.file.detached': true,
    'ktrail.file.overlay.layer': 'lower',
    'ktrail.file.overlay.inode': '12',
    'ktrail.file.overlay.device': '259:3',
    'ktrail.file.hash.sha256': 'ab',
    'ktrail.file.hash.size': 2,
    'ktrail.file.hash.changed': '2023-11-14T22:13:20Z',
  })
  const unknown = { ...DETAILS, hash: { maxBytes: 1, result: undefined } }
  assert.equal(details({ details: unknown }, true)['ktrail.file.hash.missing'], 'late')
  assert.equal(details({ details: DETAILS }, true)['file.size'], undefined)
})

const DETAILS: FileDetails = {
  content: { sizeBytes: 2n ** 60n, changed: { sec: 1_700_000_000, nsec: 5_000_000 }, generation: 9, links: 2 },
  mountId: 31,
  detached: true,
  overlay: { upper: false, inode: 12, device: (259 << 20) | 3 },
  named: '/etc/shadow',
  hash: { maxBytes: 1, result: { sha256: 'ab', sizeBytes: 2, changed: { sec: 1_700_000_000, nsec: 0 } } },
}

test('extended: details that a hook adds to the path', () => {
  const event = (details: FileDetails): Event =>
    makeKprobe({ hook: makeHook({ functionName: 'f' }), args: [file('/tmp/a', { details })] })
  const at = { arg: 0, inode: '7', device: '0:1' }
  assert.deepEqual(told(event(DETAILS)), {
    files: [
      {
        ...at,
        partial: ['detached_mount'],
        named: '/etc/shadow',
        links: 2,
        generation: 9,
        size: String(2n ** 60n),
        changed: '2023-11-14T22:13:20.005Z',
        mount_id: 31,
        detached: true,
        overlay: { layer: 'lower', inode: '12', device: '259:3' },
        hash: { sha256: 'ab', size: '2', changed: '2023-11-14T22:13:20Z' },
      },
    ],
  })
  const nothing = {
    content: undefined,
    mountId: 0,
    detached: false,
    overlay: undefined,
    named: undefined,
    hash: undefined,
  }
  const missing = { maxBytes: 1, result: { missing: 'changing' as const } }
  assert.deepEqual(told(event({ ...nothing, hash: missing })), { files: [{ ...at, hash: { missing: 'changing' } }] })
  assert.deepEqual(told(event(nothing)), { files: [at] })
  const undated = { sizeBytes: 0, changed: undefined, generation: 0, links: 0 }
  assert.deepEqual(told(event({ ...nothing, content: undated })), {
    files: [{ ...at, links: 0, generation: 0, size: '0' }],
  })
})

test('extended: a redacted path of a policy is not shown', () => {
  const pool = new EncoderPool('n', { redact: [{ paths: ['/etc/(.*)'] }] })
  const [line = ''] = linesOf([makeKprobe({ args: [file('/tmp/a', { details: DETAILS }), int(4)] })], pool)
  assert.match(line, /"named":"\/etc\/\*+"/)
})

test('extended: all else of each line is Tetragon’s record, byte by byte', () => {
  const events = goldenEvents()
  const plain = linesOf(events, new EncoderPool('n'), { ...extended, extended: false })
  linesOf(events).forEach((line, i) => {
    const at = line.lastIndexOf(',"ktrail":{')
    assert.equal(at < 0 ? line : `${line.slice(0, at)}}`, plain[i])
    JSON.parse(line)
  })
})

test('extended: with an envelope the key has details and numbers', () => {
  const [line = ''] = linesOf([makeKprobe({ args: [file('/etc/passwd'), int(4)] })], new EncoderPool('n'), {
    ...extended,
    envelope: true,
  })
  const { seq, exporter_seq: number, ...rest } = JSON.parse(line).ktrail
  assert.deepEqual([typeof seq, number], ['string', 'a-0'])
  assert.deepEqual(rest, { access: 'read', files: [{ arg: 0, inode: '7', device: '0:1' }] })
})

test('extended: exporters with the same settings share an encoder', () => {
  const pool = new EncoderPool('n')
  const other = { ...extended, numbering: new Numberings('run').of('b') }
  assert.equal(pool.linesFor(extended), pool.linesFor(other))
  assert.notEqual(pool.linesFor(extended), pool.json())
  assert.notEqual(
    pool.linesFor({ ...extended, envelope: true }),
    pool.linesFor({ numbering, envelope: true, extended: false }),
  )
})

test('extended: if field filters remove file names, the record has no file details', () => {
  const event = makeKprobe({ args: [file('/tmp/a\ufffd', { raw: NAME }), int(4)] })
  for (const fields of ['args.file_arg.path', 'args', 'args.string_arg']) {
    assert.equal(
      told(event, new EncoderPool('n', { fields: [{ fields, action: 'EXCLUDE', invert_event_set: false }] })),
      undefined,
      fields,
    )
  }
  assert.notEqual(
    told(event, new EncoderPool('n', { fields: [{ fields: 'parent', action: 'EXCLUDE', invert_event_set: false }] })),
    undefined,
  )
})

test('extended: exact bytes of a redacted path are not shown', () => {
  const pool = new EncoderPool('n', { redact: [{ paths: ['/tmp/(.*)'] }] })
  const event = makeKprobe({ args: [file('/tmp/a\ufffd', { raw: NAME }), int(4)] })
  const [line = ''] = linesOf([event], pool)
  assert.ok(!line.includes(NAME.toString('base64')), line)
  assert.match(line, /"files":\[\{"arg":0,"inode":"7"/)
})
