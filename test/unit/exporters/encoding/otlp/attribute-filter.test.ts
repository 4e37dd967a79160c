import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Event } from '../../../../../exporters/contract/event.ts'
import type { FieldFilterConfig } from '../../../../../config/agent/schema.ts'
import { EncoderPool } from '../../../../../exporters/encoding/pool.ts'
import type { Encoder } from '../../../../../exporters/contract/exporter.ts'
import { KEYS } from '../../../../../exporters/encoding/otlp/attributes.ts'
import type { AttributeValue } from '../../../../../exporters/encoding/otlp/records.ts'
import { plainRecord } from '../../../../../exporters/encoding/otlp/records.ts'
import { attributeTest } from '../../../../../exporters/encoding/otlp/attribute-filter.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makePod,
  makeProcess,
  text,
} from '../../support/events.ts'
import { DEFAULT_RECORDS } from '../../../../../config/agent/exporters/otlp-records.ts'

const filter = (fields: string, change: Partial<FieldFilterConfig> = {}): FieldFilterConfig => ({
  fields,
  action: 'EXCLUDE',
  invert_event_set: false,
  ...change,
})
const INCLUDE = { action: 'INCLUDE' } as const

const hook = makeHook({
  policy: 'p',
  message: 'm',
  tags: ['t'],
  labels: ['from', '', 'note'],
  functionName: 'security_path_rename',
  action: 'signal',
  returnAction: 'override',
})
const kprobe = makeKprobe({ hook, tid: 7, args: [file('/a'), file('/b'), text('hello')], returned: int(-1) })
const exec = makeExec({ process: makeProcess({ docker: 'c0ffee', auid: 1000 }) })
const inPod = makeExec({ process: makeProcess({ pod: makePod() }) })
const exit = makeExit({ signal: 'SIGKILL', status: 1 })

function attributesOf(event: Event, filters?: readonly FieldFilterConfig[]): Readonly<Record<string, AttributeValue>> {
  const test = filters === undefined ? {} : { hasAttribute: attributeTest(filters) }
  return plainRecord(event, undefined, event.time, {
    ...DEFAULT_RECORDS,
    epoch: 'e',
    body: 'none',
    arg_labels: true,
    command_line: true,
    file_details: true,
    ...test,
  }).attributes
}

/** Names of the attributes that filters remove. */
function hidden(event: Event, ...filters: FieldFilterConfig[]): string[] {
  const left = attributesOf(event, filters)
  return Object.keys(attributesOf(event)).filter((name) => !Object.hasOwn(left, name))
}

const named = ['file.path', 'file.inode', 'ktrail.file.device', 'ktrail.file.target_path']
const file1 = [...named, 'file.mode']

describe('attributes under field filters', () => {
  const rows: ReadonlyArray<
    readonly [name: string, event: Event, filters: readonly FieldFilterConfig[], hidden: readonly string[]]
  > = [
    [
      'arguments are in the command line',
      exec,
      [filter('process.arguments')],
      ['process.command_args', 'process.command_line'],
    ],
    [
      'so is the binary',
      exec,
      [filter('process.binary')],
      ['process.executable.path', 'process.executable.name', 'process.command_args', 'process.command_line'],
    ],
    [
      'the image of a container in a pod',
      inPod,
      [filter('process.pod.container.image')],
      ['container.image.id', 'container.image.name', 'container.image.tags'],
    ],
    ['the id of an image', inPod, [filter('process.pod.container.image.id')], ['container.image.id']],
    ['the uid of a pod', inPod, [filter('process.pod.uid')], ['k8s.pod.uid']],
    ['a parent', exec, [filter('parent')], ['process.parent_pid', 'ktrail.parent.binary']],
    ['fields that are no attribute', exec, [filter('process.flags,process.pod.pod_labels,signal')], []],
    ['arguments of hooks', kprobe, [filter('args')], [...file1, 'ktrail.file.access', 'ktrail.arg.note']],
    ['paths', kprobe, [filter('args.file_arg.path')], [...named, 'ktrail.arg.note']],
    ['a part of the return value', kprobe, [filter('return.int_arg')], ['ktrail.file.denied', 'ktrail.return']],
    [
      'fields of the policy',
      kprobe,
      [filter('policyName,message,tags,functionName,action,returnAction,process.tid')],
      [
        'ktrail.tid',
        'ktrail.file.access',
        'ktrail.function_name',
        'ktrail.action',
        'ktrail.return_action',
        'security_rule.name',
        'security_rule.description',
        'ktrail.tags',
      ],
    ],
    ['an exit', exit, [filter('signal,time')], ['process.exit.time', 'ktrail.signal']],
    ['another kind of event', exec, [filter('process.cwd', { event_set: ['PROCESS_EXIT'] })], []],
    [
      'all kinds but another',
      exec,
      [filter('process.cwd', { event_set: ['PROCESS_EXIT'], invert_event_set: true })],
      ['process.working_directory'],
    ],
    ['losses', makeLoss(), [filter('process', INCLUDE), filter('process')], []],
    [
      'a loss by name',
      makeLoss(),
      [filter('number_of_dropped_process_events', { event_set: ['RATE_LIMIT_INFO'] })],
      [],
    ],
  ]
  for (const [name, event, filters, want] of rows) {
    it(`EXCLUDE: ${name}`, () => assert.deepEqual(hidden(event, ...filters).toSorted(), want.toSorted()))
  }

  it('INCLUDE keeps the listed attributes and those that identify the record', () => {
    const left = (event: Event, ...filters: FieldFilterConfig[]): string[] => Object.keys(attributesOf(event, filters))
    assert.deepEqual(left(exec, filter('process.binary', INCLUDE)), [
      'log.record.uid',
      'process.executable.path',
      'process.executable.name',
    ])
    assert.deepEqual(left(exec, filter('process', INCLUDE), filter('process.pid', INCLUDE)), [
      'log.record.uid',
      'process.pid',
    ])
    assert.deepEqual(
      left(kprobe, filter('args', INCLUDE)),
      ['log.record.uid', ...file1, 'ktrail.arg.note'].toSorted(byOrder),
    )
  })

  it('an empty INCLUDE keeps only the attributes that identify the record, count its calls, or are about the agent', () => {
    const shows = attributeTest([filter('ancestors', INCLUDE)])
    const left = Object.values(KEYS).filter((key) => shows('process_kprobe', key))
    assert.deepEqual(
      left.map(({ name }) => name),
      [
        'log.record.uid',
        'ktrail.exporter_seq',
        'event_name',
        ...['count', 'bytes', 'last_time'].map((word) => `ktrail.aggregate.${word}`),
        ...['stage', 'exporter', 'reason', 'count', 'first_seq', 'last_seq'].map((word) => `ktrail.loss.${word}`),
        ...['first_exporter_seq', 'last_exporter_seq'].map((word) => `ktrail.loss.${word}`),
        ...['phase', 'previous', 'heartbeat_ms', 'events', 'moved', 'from', 'until'].map(
          (word) => `ktrail.run.${word}`,
        ),
        ...['what', 'by', 'names', 'count', 'mode', 'mode_before'].map((word) => `ktrail.change.${word}`),
      ],
    )
  })
})

/** In the order of a record. */
function byOrder(a: string, b: string): number {
  const names = Object.keys(attributesOf(kprobe))
  return names.indexOf(a) - names.indexOf(b)
}

describe('field filters and encoders', () => {
  const secret = 'S3cr3tS3cr3t'
  const secretProcess = makeProcess({
    arguments: secret,
    argv: `x\0y ${secret}`,
    cwd: `/${secret}`,
    binary: `/bin/${secret}`,
    docker: secret,
  })
  const paths: Readonly<Record<string, Event>> = {
    'process.arguments': makeExec({ process: makeProcess({ arguments: secret, argv: `x\0y ${secret}` }) }),
    'process.cwd': makeExec({ process: makeProcess({ cwd: `/${secret}` }) }),
    'process.binary': makeExit({ process: makeProcess({ binary: `/${secret}` }) }),
    'process.docker': makeKprobe({ process: makeProcess({ docker: secret }) }),
    process: makeKprobe({ process: secretProcess }),
    parent: makeExec({ parent: secretProcess }),
    args: makeKprobe({ args: [file(`/${secret}`), text(secret)], hook: makeHook({ labels: ['', 'x'] }) }),
    'args.file_arg.path': makeKprobe({ args: [file('/x'), file(`/${secret}`)] }),
    return: makeKprobe({ returned: text(secret) }),
    message: makeKprobe({ hook: makeHook({ message: secret }) }),
    tags: makeKprobe({ hook: makeHook({ tags: [secret] }) }),
    policy_name: makeKprobe({ hook: makeHook({ policy: secret }) }),
  }

  async function encoders(fields: readonly FieldFilterConfig[]): Promise<Array<readonly [string, Encoder]>> {
    const pool = new EncoderPool('node').shaped({ fields }, () => {})
    const otlp = (['json', 'none'] as const).flatMap((body) =>
      (['protobuf', 'json'] as const).flatMap((protocol) =>
        [false, true].map(
          async (sdk) =>
            [
              `otlp ${protocol} ${body} ${sdk}`,
              await pool.otlp({ ...DEFAULT_RECORDS, epoch: 'e', arg_labels: true, body, protocol, sdk }),
            ] as const,
        ),
      ),
    )
    return [['json', pool.json()], ...(await Promise.all(otlp))]
  }

  it('no encoding contains what a filter removes, also if another exporter has it', async () => {
    const all = Object.entries(paths)
    const open = await encoders([])
    const made = await Promise.all(all.map(async ([field]) => await encoders([filter(field)])))
    fc.assert(
      fc.property(fc.nat(all.length - 1), fc.boolean(), (i, openFirst) => {
        const [field, event] = all[i] ?? ['', exec]
        const shows = (encoder: Encoder): boolean => Buffer.from(encoder.encode([event]).bytes).includes(secret)
        // Data cached with a process must not pass from one exporter to the other.
        if (openFirst) for (const [, encoder] of open) encoder.encode([event])
        for (const [name, encoder] of made[i] ?? []) assert.equal(shows(encoder), false, `${field} in ${name}`)
        for (const [name, encoder] of open) assert.ok(shows(encoder), `${field} in ${name}`)
      }),
      { numRuns: 60 },
    )
  })
})
