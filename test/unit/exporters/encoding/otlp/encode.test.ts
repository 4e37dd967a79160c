import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Event, Process } from '../../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../../exporters/encoding/json-line.ts'
import type { Encoded, Encoder } from '../../../../../exporters/contract/exporter.ts'
import { boundedWords } from '../../../../../exporters/encoding/command-args.ts'
import { attributeTest } from '../../../../../exporters/encoding/otlp/attribute-filter.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import type { OtlpEncoderOptions } from '../../../../../exporters/encoding/otlp/encode.ts'
import { createOtlpJsonEncoder } from '../../../../../exporters/encoding/otlp/json-encode.ts'
import { createSdkEncoder, createSdkJsonEncoder } from '../../../../../exporters/encoding/otlp/sdk.ts'
import { shareLast } from '../../../../../exporters/encoding/share-last.ts'
import { Numberings } from '../../../../../exporters/contract/numbering.ts'
import { slice } from '../../../../../exporters/contract/encoded.ts'
import { requestFromJson, requestFromProtobuf, seqOf } from '../../../../support/otlp/decode.ts'
import type { AnyValue, KeyValue, LogRecord } from '../../../../support/otlp/decode.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeChange,
  makeContainer,
  makeLoss,
  makeNamedContainer,
  makeParent,
  makePod,
  makeProcess,
  text,
} from '../../support/events.ts'
import { goldenEvents } from '../../support/golden-events.ts'
import { matchesGolden } from '../../support/golden.ts'
import { anyEvents, anyProcessEvents } from './arbitrary.ts'
import { attributesOf } from './model.ts'
import { requestOf } from '../../sinks/otlp/support.ts'
import { DEFAULT_RECORDS } from '../../../../../config/agent/exporters/otlp-records.ts'

const json = createJsonEncoder({ nodeName: 'node-1' })
const observed = { sec: 1_795_528_989, nsec: 123_999_000 }
const base: OtlpEncoderOptions = {
  ...DEFAULT_RECORDS,
  epoch: '1795520000',
  body: 'json',
  json,
  observed: () => observed,
}
const resource = { serviceName: 'product', serviceVersion: '1.0.0', nodeName: 'node-1', kubernetes: true }

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const request = (encoded: Encoded): Buffer => requestOf(encoded, resource)
const records = (encoder: Encoder, events: readonly Event[]): readonly LogRecord[] =>
  requestFromProtobuf(request(encoder.encode(events))).records

const asObject = (pairs: readonly KeyValue[]): Record<string, AnyValue> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, value]))

test('otlp: any records, of one slice or several, form a valid ScopeLogs', () => {
  const encoder = createOtlpEncoder(base)
  fc.assert(
    fc.property(anyEvents, anyEvents, fc.nat(8), fc.nat(8), (one, two, from, length) => {
      const whole = encoder.encode(one)
      const start = Math.min(from, whole.count)
      const part = slice(whole, start, Math.min(whole.count, start + length))
      const other = encoder.encode(two)
      const ends = new Uint32Array(part.count + other.count)
      const bytes = Buffer.concat([part.bytes, other.bytes])
      const joined = { ...whole, bytes, ends, count: ends.length }
      const seqs = [...one.slice(start, start + part.count), ...two].map(({ seq }) => seq)
      assert.deepEqual(requestFromProtobuf(request(joined)).records.map(seqOf), seqs)
    }),
  )
})

test('otlp: the attributes of any event of a process are those of its JSON line by the mapping table', () => {
  const encoder = createOtlpEncoder(base)
  fc.assert(
    fc.property(anyProcessEvents, (events) => {
      const lines = Buffer.from(json.encode(events).bytes).toString().split('\n')
      for (const [i, record] of records(encoder, events).entries()) {
        const line = lines[i] ?? ''
        const { argv = '', arguments: joined = '' } = events[i]?.process ?? {}
        const {
          'process.command_args': words,
          'ktrail.file.access': access,
          'ktrail.file.denied': denied,
          ...rest
        } = asObject(record.attributes)
        assert.deepEqual(rest, attributesOf(line, `1795520000-${events[i]?.seq}`))
        const whole = argv.includes('\0') || joined === '' ? argv : `${argv}\0${joined.replaceAll(' ', '\0')}`
        const values = boundedWords(whole.split('\0')).map((word) => ({ stringValue: word.toWellFormed() }))
        assert.deepEqual(words, argv + joined === '' ? undefined : { arrayValue: { values } })
        assert.ok(access === undefined || 'stringValue' in access)
        assert.ok(denied === undefined || ('boolValue' in denied && denied.boolValue === true))
        assert.deepEqual(record.body, { stringValue: line })
        assert.equal(record.eventName, `ktrail.${events[i]?.type}`)
        const { sec, nsec } = events[i]?.time ?? { sec: 0, nsec: 0 }
        assert.equal(record.timeUnixNano, String(BigInt(sec) * 1_000_000_000n + BigInt(nsec)))
        assert.equal(record.observedTimeUnixNano, '1795528989123999000')
      }
    }),
  )
})

test('otlp: the golden requests are unchanged', () => {
  const encoder = createOtlpEncoder({ ...base, arg_labels: true })
  const readableRecords = requestFromProtobuf(request(encoder.encode(goldenEvents())))
  matchesGolden('otlp/events.json', `${JSON.stringify(readableRecords, null, 1)}\n`)
  matchesGolden('otlp/events.pb.hex', `${hex(request(encoder.encode(goldenEvents()))).replace(/.{96}/g, '$&\n')}\n`)
})

test('otlp: the worked example has the documented result, except for the pod', () => {
  const process = makeProcess({
    execId: 'bm9kZS0xOjQyMTY6MTIz',
    parentExecId: '',
    pid: 4216,
    cwd: '/root',
    binary: '/usr/bin/cat',
    arguments: '/etc/shadow',
    argv: 'cat',
    startTime: { sec: 1_795_528_988, nsec: 900_000_001 },
    docker: '0123abcd',
  })
  const event = makeKprobe({
    seq: 88213,
    time: { sec: 1_795_528_989, nsec: 123_456_789 },
    process,
    parent: makeParent({ pid: 4100, binary: '/bin/bash' }),
    tid: 4216,
    args: [file('/etc/shadow', { mode: 0o100640 }), int(4)],
  })
  const body = request(createOtlpEncoder(base).encode([event]))
  const { records: got, resource: own, scope, schemaUrls } = requestFromProtobuf(body)
  matchesGolden(
    'otlp/worked-example.json',
    `${JSON.stringify({ resource: own, scope, schemaUrls, records: got }, null, 1)}\n`,
  )
  assert.deepEqual(asObject(got[0]?.attributes ?? []), {
    'log.record.uid': { stringValue: '1795520000-88213' },
    'process.pid': { intValue: '4216' },
    'process.parent_pid': { intValue: '4100' },
    'process.executable.path': { stringValue: '/usr/bin/cat' },
    'process.executable.name': { stringValue: 'cat' },
    'process.command_args': { arrayValue: { values: [{ stringValue: 'cat' }, { stringValue: '/etc/shadow' }] } },
    'process.working_directory': { stringValue: '/root' },
    'process.user.id': { intValue: '0' },
    'process.creation.time': { stringValue: '2026-11-24T14:03:08.900000001Z' },
    'ktrail.exec_id': { stringValue: 'bm9kZS0xOjQyMTY6MTIz' },
    'ktrail.parent.binary': { stringValue: '/bin/bash' },
    'container.id': { stringValue: '0123abcd' },
    'ktrail.file.access': { stringValue: 'read' },
    'file.path': { stringValue: '/etc/shadow' },
    'file.mode': { stringValue: '0640' },
    'ktrail.function_name': { stringValue: 'security_file_permission' },
    'ktrail.return': { stringValue: '0' },
    'security_rule.name': { stringValue: 'file-monitoring' },
  })
  assert.deepEqual(
    { ...got[0], attributes: 0, body: 0 },
    {
      timeUnixNano: '1795528989123456789',
      observedTimeUnixNano: '1795528989123999000',
      severityNumber: 9,
      severityText: 'INFO',
      eventName: 'ktrail.process_kprobe',
      attributes: 0,
      body: 0,
    },
  )
  const want = { 'service.name': 'product', 'service.version': '1.0.0', 'service.instance.id': 'node-1' }
  const values = { ...want, 'host.name': 'node-1', 'k8s.node.name': 'node-1' }
  assert.deepEqual(
    own,
    Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } })),
  )
  assert.deepEqual(scope, { name: 'product.events', version: '1.0.0' })
  assert.deepEqual(schemaUrls, ['https://opentelemetry.io/schemas/1.44.0', 'https://opentelemetry.io/schemas/1.44.0'])
})

test('otlp: a loss record is an error event with place, reason, count and range of the loss', () => {
  const loss = makeLoss({ seq: 7, loss: { stage: 'exporter', exporter: 'bus', reason: 'expired' }, count: 4 })
  const encoder = createOtlpEncoder({
    ...base,
    severity: { ...DEFAULT_RECORDS.severity, lifecycle: 'debug' },
    event_name_attribute: true,
  })
  const [bare, ranged] = records(encoder, [loss, { ...loss, firstSeq: 3, lastSeq: 6 }])
  const want = {
    'log.record.uid': { stringValue: '1795520000-7' },
    'ktrail.loss.stage': { stringValue: 'exporter' },
    'ktrail.loss.exporter': { stringValue: 'bus' },
    'ktrail.loss.reason': { stringValue: 'expired' },
    'ktrail.loss.count': { intValue: '4' },
    event_name: { stringValue: 'ktrail.events_lost' },
  }
  assert.deepEqual(asObject(bare?.attributes ?? []), want)
  const range = { 'ktrail.loss.first_seq': { intValue: '3' }, 'ktrail.loss.last_seq': { intValue: '6' } }
  assert.deepEqual(asObject(ranged?.attributes ?? []), { ...want, ...range })
  assert.equal(bare?.eventName, 'ktrail.events_lost')
  const line = '{"rate_limit_info":{"number_of_dropped_process_events":"4"},"node_name":"node-1",'
  assert.deepEqual(bare?.body, { stringValue: `${line}"time":"2024-04-14T02:18:14.376304204Z"}` })
})

test('otlp_json: has the same content as the protobuf', () => {
  const events = goldenEvents()
  const options = { ...base, arg_labels: true }
  const protobuf = requestFromProtobuf(request(createOtlpEncoder(options).encode(events)))
  const inJson = requestFromJson(request(createOtlpJsonEncoder(options).encode(events)))
  assert.deepEqual(inJson, protobuf)
})

const texts: ReadonlyArray<readonly [want: string, event: Event]> = [
  ['exec /bin/vi /etc/passwd', makeExec()],
  ['exec /bin/vi', makeExec({ process: makeProcess({ arguments: '' }) })],
  ['exit /bin/vi /etc/passwd 0', makeExit()],
  ['exit /bin/vi /etc/passwd SIGKILL', makeExit({ signal: 'SIGKILL' })],
  ['write /bin/vi /etc/passwd', makeKprobe()],
  ['read /bin/vi /etc/passwd', makeKprobe({ args: [file('/etc/passwd'), int(4)] })],
  ['read /bin/vi /etc/passwd denied', makeKprobe({ args: [file('/etc/passwd'), int(4)], returned: int(-13) })],
  ['security_file_permission /bin/vi /etc/passwd 1', makeKprobe({ args: [file('/etc/passwd'), int(1)] })],
  [
    'map_exec /bin/vi /lib/a.so',
    makeKprobe({ hook: makeHook({ functionName: 'security_mmap_file' }), args: [file('/lib/a.so'), int(5), int(2)] }),
  ],
  [
    'open /bin/vi /etc/shadow denied',
    makeKprobe({
      hook: makeHook({ functionName: 'do_sys_openat2', indexes: [1] }),
      args: [text('/etc/shadow')],
      returned: int(-13),
    }),
  ],
  [
    'read /bin/vi /etc/passwd (3 calls, 12 bytes)',
    makeKprobe({
      args: [file('/etc/passwd'), int(4)],
      aggregate: { count: 3, bytes: 12, last: { sec: 1, nsec: 0 } },
    }),
  ],
  ['lost 123 kernel ring_full_hook', makeLoss()],
  ['policy_removed read-secrets (enforce) by api uid=0 pid=812', makeChange()],
  [
    'policy_replaced a, b (70 in all) (enforce to monitor) by cluster',
    makeChange({
      what: 'policy_replaced',
      by: 'cluster',
      names: ['a', 'b'],
      count: 70,
      mode: 'monitor',
      modeBefore: 'enforce',
    }),
  ],
  [
    'lost 1 exporter bus expired',
    makeLoss({ loss: { stage: 'exporter', exporter: 'bus', reason: 'expired' }, count: 1 }),
  ],
  ['do_exit /bin/vi', makeKprobe({ args: [], hook: makeHook({ functionName: 'do_exit' }) })],
]
for (const [want, event] of texts) {
  test(`otlp: the body of text is "${want}"`, () => {
    const [record] = records(createOtlpEncoder({ ...base, body: 'text' }), [event])
    assert.deepEqual(record?.body, { stringValue: want })
  })
}

test('otlp: the JSON body of an exec has the arguments that other events have', () => {
  const process = makeProcess({ arguments: 'begin', flags: 'execve truncArgs' })
  const executed = { arguments: 'beginning', flags: 'execve', environment: [['A', '1'] as const] }
  const events = [makeExec(), makeExec({ process, executed })]
  const [, record] = records(createOtlpEncoder(base), events)
  const want = createJsonEncoder({ nodeName: 'node-1' }).encode([
    makeExec({ process, executed: { environment: [['A', '1']] } }),
  ])
  assert.deepEqual(record?.body, { stringValue: Buffer.from(want.bytes).toString().trimEnd() })
})

test('otlp: without a body there is no body field, and nothing is encoded as JSON', () => {
  const never: Encoder = { encoding: 'json', encode: () => assert.fail('the JSON encoder was called') }
  const [record] = records(createOtlpEncoder({ ...base, body: 'none', json: never }), [makeExec()])
  assert.equal(record?.body, undefined)
})

const severity = { lifecycle: 'debug', policies: { p: 'error' }, tags: { t: 'warn', u: 'fatal' } } as const
const severities: ReadonlyArray<readonly [name: string, event: Event, want: string]> = [
  ['an exec', makeExec(), '5 DEBUG'],
  ['an exit', makeExit(), '5 DEBUG'],
  ['a loss, with any configuration', makeLoss(), '17 ERROR'],
  ['a change, with any configuration', makeChange(), '13 WARN'],
  ['a policy without a configured severity', makeKprobe(), '9 INFO'],
  ['a policy', makeKprobe({ hook: makeHook({ policy: 'p', tags: ['t'] }) }), '17 ERROR'],
  ['a tag', makeKprobe({ hook: makeHook({ tags: ['x', 'u', 't'] }) }), '21 FATAL'],
  ['low by tag', makeKprobe({ hook: makeHook({ tags: ['severity.low'], action: 'sigkill' }) }), '9 INFO'],
  ['medium by tag', makeKprobe({ hook: makeHook({ tags: ['x', 'severity.medium'] }) }), '13 WARN'],
  ['high by tag', makeKprobe({ hook: makeHook({ tags: ['severity.high'] }) }), '17 ERROR'],
  ['critical by tag', makeKprobe({ hook: makeHook({ tags: ['severity.critical'] }) }), '21 FATAL'],
  ['a configured tag before', makeKprobe({ hook: makeHook({ tags: ['severity.critical', 't'] }) }), '13 WARN'],
  ['a policy before a tag', makeKprobe({ hook: makeHook({ policy: 'p', tags: ['severity.low'] }) }), '17 ERROR'],
  ['an unknown severity', makeKprobe({ hook: makeHook({ tags: ['severity.constructor'] }) }), '9 INFO'],
  ['a hook that kills', makeKprobe({ hook: makeHook({ action: 'sigkill' }) }), '13 WARN'],
  ['a return that is overridden', makeKprobe({ hook: makeHook({ returnAction: 'override' }) }), '13 WARN'],
  [
    'a policy that kills, as configured',
    makeKprobe({ hook: makeHook({ policy: 'p', action: 'sigkill' }) }),
    '17 ERROR',
  ],
  ['a policy named like a member of every object', makeKprobe({ hook: makeHook({ policy: 'constructor' }) }), '9 INFO'],
]
for (const [name, event, want] of severities) {
  test(`otlp: severity of ${name} is ${want}`, () => {
    const [record] = records(createOtlpEncoder({ ...base, severity }), [event])
    assert.equal(`${record?.severityNumber} ${record?.severityText}`, want)
  })
}

test('otlp: labels of the pod that the config lists are attributes, in both encodings, and fields remove them', () => {
  const labels = { app: 'web', 'app.kubernetes.io/part-of': 'shop', secret: 's' }
  const events = [
    makeExec({ process: makeProcess({ pod: makePod({ labels }) }) }),
    makeExec({ process: makeProcess({ pod: undefined }) }),
  ]
  const options = { ...base, pod_labels: ['app', 'app.kubernetes.io/part-of', 'missing', 'constructor'] }
  const ofPod = (encoded: ReturnType<typeof requestFromProtobuf>): unknown[] =>
    encoded.records.map(({ attributes }) =>
      Object.entries(asObject(attributes)).filter(([name]) => name.startsWith('k8s.pod.label.')),
    )
  const want = [
    [
      ['k8s.pod.label.app', { stringValue: 'web' }],
      ['k8s.pod.label.app.kubernetes.io/part-of', { stringValue: 'shop' }],
    ],
    [],
  ]
  assert.deepEqual(ofPod(requestFromProtobuf(request(createOtlpEncoder(options).encode(events)))), want)
  assert.deepEqual(ofPod(requestFromJson(request(createOtlpJsonEncoder(options).encode(events)))), want)
  const hasAttribute = attributeTest([{ fields: 'process.pod.pod_labels', action: 'EXCLUDE', invert_event_set: false }])
  assert.deepEqual(
    ofPod(requestFromProtobuf(request(createOtlpEncoder({ ...options, hasAttribute }).encode(events)))),
    [[], []],
  )
})

const places: ReadonlyArray<
  readonly [name: string, process: Partial<Process>, want: Readonly<Record<string, string>>]
> = [
  [
    'a pod',
    { pod: makePod() },
    {
      'process.executable.name': 'vi',
      'k8s.pod.uid': makePod().uid,
      'container.image.id': makeContainer().imageId,
    },
  ],
  // As a hook of the runtime announces it: the API server adds the id of the image.
  [
    'a pod with an announced container',
    { pod: makePod({ container: makeContainer({ imageId: '' }) }) },
    { 'process.executable.name': 'vi', 'k8s.pod.uid': makePod().uid },
  ],
  [
    'a pod without uid and container',
    { pod: makePod({ uid: '', container: undefined }) },
    { 'process.executable.name': 'vi' },
  ],
  [
    'a container of a runtime',
    { container: makeNamedContainer() },
    { 'process.executable.name': 'vi', 'container.image.id': makeNamedContainer().imageId },
  ],
  [
    'a container of a runtime that knows only the id of the image',
    { container: makeNamedContainer({ image: '' }) },
    { 'process.executable.name': 'vi', 'container.image.id': makeNamedContainer().imageId },
  ],
  ['a program without a folder', { binary: 'memfd:x' }, { 'process.executable.name': 'memfd:x' }],
  ['a deleted program', { binary: '/tmp/a b/x (deleted)' }, { 'process.executable.name': 'x (deleted)' }],
  [
    'a program with the longest name',
    { binary: `/a/${'ü'.repeat(512)}` },
    { 'process.executable.name': 'ü'.repeat(512) },
  ],
  [
    'a program in a file system that takes longer names',
    { binary: `/a/${'ü'.repeat(2_040)}` },
    { 'process.executable.name': `${'ü'.repeat(510)}…` },
  ],
  ['a program whose name is redacted to a folder', { binary: '/tmp/' }, {}],
  ['an unknown program', { binary: '' }, {}],
  ['the kernel', { pid: 0, binary: '<kernel>' }, {}],
]
for (const [name, process, want] of places) {
  test(`otlp: name of the program, uid of the pod and id of the image, of ${name}, in every encoder`, () => {
    const names = ['process.executable.name', 'k8s.pod.uid', 'container.image.id']
    const of = ([record]: readonly LogRecord[]): object =>
      Object.fromEntries(
        (record?.attributes ?? []).flatMap(({ key, value }) =>
          names.includes(key) && 'stringValue' in value ? [[key, value.stringValue]] : [],
        ),
      )
    const event = makeExec({ process: makeProcess(process) })
    for (const create of [createOtlpEncoder, createSdkEncoder])
      assert.deepEqual(of(records(create(base), [event])), want)
    for (const create of [createOtlpJsonEncoder, createSdkJsonEncoder]) {
      assert.deepEqual(of(requestFromJson(request(create(base).encode([event]))).records), want)
    }
  })
}

test('otlp: of two arguments with one label the first is used, files and unlabelled ones are left out', () => {
  const hook = makeHook({ labels: ['name', 'how', 'how', ''] })
  const event = makeKprobe({ hook, args: [file('/a'), int(-1), int(2), text('x')] })
  const [record] = records(createOtlpEncoder({ ...base, arg_labels: true }), [event])
  const labelled = record?.attributes.filter(({ key }) => key.startsWith('ktrail.arg.'))
  assert.deepEqual(labelled, [{ key: 'ktrail.arg.how', value: { intValue: '-1' } }])
})

test('otlp: the command line is one text only if the config enables it', () => {
  const [record] = records(createOtlpEncoder({ ...base, command_line: true }), [makeKprobe()])
  assert.deepEqual(asObject(record?.attributes ?? [])['process.command_line'], { stringValue: '/bin/vi /etc/passwd' })
})

test('otlp: a refused access is marked', () => {
  const [denied, allowed] = records(createOtlpEncoder(base), [makeKprobe({ returned: int(-13) }), makeKprobe()])
  assert.deepEqual(asObject(denied?.attributes ?? [])['ktrail.file.denied'], { boolValue: true })
  assert.equal(asObject(allowed?.attributes ?? [])['ktrail.file.denied'], undefined)
})

test('otlp: a process is rendered once, as itself and as a parent', () => {
  const process = makeProcess()
  const encoder = createOtlpEncoder(base)
  encoder.encode([makeExec({ process, parent: process })])
  const { otlp, otlpParent } = process.rendered
  assert.ok(otlp !== undefined && otlpParent !== undefined)
  encoder.encode([makeExit({ process, parent: process })])
  assert.equal(process.rendered.otlp, otlp)
  assert.equal(process.rendered.otlpParent, otlpParent)
})

test('otlp: numbers of any size follow their prefix, short or long', () => {
  for (const epoch of ['1', 'e'.repeat(150), 'ü'])
    for (const seq of [0, 9, 10, 99_999, 100_000, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      const [record] = records(createOtlpEncoder({ ...base, epoch }), [makeKprobe({ seq })])
      assert.deepEqual(asObject(record?.attributes ?? [])['log.record.uid'], { stringValue: `${epoch}-${seq}` })
    }
})

test('otlp: equal events yield equal bytes, at any time', () => {
  const one = createOtlpEncoder(base).encode(goldenEvents())
  const two = createOtlpEncoder(base).encode(goldenEvents())
  assert.equal(hex(one.bytes), hex(two.bytes))
})

test('otlp: no events yield no bytes', () => {
  for (const make of [createOtlpEncoder, createOtlpJsonEncoder, createSdkEncoder, createSdkJsonEncoder]) {
    const { bytes, count, ends } = make(base).encode([])
    assert.deepEqual([bytes.length, count, ends.length], [0, 0, 0])
  }
})

test('otlp: one JSON encoding is used for the file exporter and the body, and only for the same events', () => {
  let calls = 0
  const counted: Encoder = { encoding: 'json', encode: (events) => (calls++, json.encode(events)) }
  const shared = shareLast(counted)
  const encoder = createOtlpEncoder({ ...base, json: shared })
  // Long arguments differ in the body: their events are left out.
  const events = goldenEvents().filter(
    (event) => event.type !== 'process_exec' || event.executed?.arguments === undefined,
  )
  const lines = shared.encode(events)
  encoder.encode(events)
  assert.equal(calls, 1)
  assert.equal(shared.encode(events), lines)
  // Another slice in the same array.
  events.splice(0, 1)
  assert.equal(shared.encode(events).count, events.length)
  assert.equal(calls, 2)
  events[0] = makeExec({ seq: events[0]?.seq ?? 0, process: makeProcess({ binary: '/other' }) })
  assert.match(Buffer.from(shared.encode(events).bytes).toString(), /\/other/)
  assert.equal(shared.encode([]).count, 0)
  assert.equal(shared.encoding, 'json')
})

test('otlp: a record about a change has its attributes and event name, in every encoder', () => {
  const event = makeChange({ seq: 7, names: ['shop/a', 'b'], count: 9, mode: 'monitor', modeBefore: 'enforce' })
  const want = {
    'log.record.uid': { stringValue: '1795520000-7' },
    'ktrail.change.what': { stringValue: 'policy_removed' },
    'ktrail.change.by': { stringValue: 'api uid=0 pid=812' },
    'ktrail.change.names': { arrayValue: { values: [{ stringValue: 'shop/a' }, { stringValue: 'b' }] } },
    'ktrail.change.count': { intValue: '9' },
    'ktrail.change.mode': { stringValue: 'monitor' },
    'ktrail.change.mode_before': { stringValue: 'enforce' },
  }
  for (const create of [createOtlpEncoder, createSdkEncoder]) {
    const [record] = records(create(base), [event])
    assert.deepEqual([asObject(record?.attributes ?? []), record?.eventName], [want, 'ktrail.change'])
  }
})

test('otlp: a record about the agent has the same data in body and attributes, in every encoder', () => {
  const time = { sec: 1, nsec: 0 }
  const events: readonly Event[] = [
    makeExec({ seq: 4 }),
    {
      type: 'agent_run',
      seq: 5,
      time,
      phase: 'heartbeat',
      heartbeatMs: 60_000,
      previous: { loki: 'run0' },
      filtered: [],
    },
    makeLoss({ seq: 6, count: 2, numbers: { first: 3, last: 4 } }),
    makeChange({ seq: 7 }),
  ]
  const numbered = (): OtlpEncoderOptions => ({ ...base, numbering: new Numberings('run1').of('loki') })
  const line = (i: number): object => JSON.parse(Buffer.from(slice(json.encode(events), i, i + 1).bytes).toString())
  const { loss, count } = makeLoss({ count: 2 })
  const want = [
    line(0),
    {
      ...line(1),
      ktrail: {
        seq: 'run1-5',
        exporter_seq: 'loki-1',
        run: { phase: 'heartbeat', heartbeat_ms: 60_000, previous: 'run0', events: 'all' },
      },
    },
    { ...line(2), ktrail: { seq: 'run1-6', exporter_seq: 'loki-2', loss: { ...loss, count, first: 3, last: 4 } } },
    { ...line(3), ktrail: { seq: 'run1-7', exporter_seq: 'loki-3' } },
  ]
  const bodies = (all: readonly LogRecord[]): unknown[] =>
    all.map(({ body }): unknown => JSON.parse(body !== undefined && 'stringValue' in body ? body.stringValue : ''))
  for (const create of [createOtlpEncoder, createSdkEncoder]) {
    assert.deepEqual(bodies(records(create(numbered()), events)), want)
  }
  for (const create of [createOtlpJsonEncoder, createSdkJsonEncoder]) {
    assert.deepEqual(bodies(requestFromJson(requestOf(create(numbered()).encode(events), resource)).records), want)
  }
  // Without numbers the encoder has nothing to add.
  assert.deepEqual(
    bodies(records(createOtlpEncoder(base), events)),
    events.map((_, i) => line(i)),
  )
})
