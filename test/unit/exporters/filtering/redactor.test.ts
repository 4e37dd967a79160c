import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Container, Event, Process, ProcessEvent } from '../../../../exporters/contract/event.ts'
import { Renderings } from '../../../../exporters/contract/renderings.ts'
import type { RedactConfig } from '../../../../config/agent/schema.ts'
import { EncoderPool } from '../../../../exporters/encoding/pool.ts'
import type { Encoder } from '../../../../exporters/contract/exporter.ts'
import { Redactor } from '../../../../exporters/filtering/redactor.ts'
import { anyProcessEvents } from '../encoding/otlp/arbitrary.ts'
import {
  file,
  int,
  makeContainer,
  makeExec,
  makeExit,
  makeKprobe,
  makeParent,
  makePod,
  makeProcess,
  text,
} from '../support/events.ts'
import { linesOf } from './support.ts'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'

const noProblem = (problem: string): never => assert.fail(problem)

function shownArguments(rules: readonly RedactConfig[], change: Partial<Process>): string {
  const [event] = new Redactor(rules, noProblem).events([makeExec({ process: makeProcess(change) })])
  assert.ok(event?.type === 'process_exec')
  return event.process.arguments
}

const password = { redact: ['(?:--password|-p)[\\s=]+(\\S+)'] }
const args = '--verbose=true --password ybx511!ackt544 --username foobar'
const hidden = '--verbose=true --password ***** --username foobar'

describe('redaction of arguments', () => {
  const rows: Readonly<Record<string, readonly [rules: readonly RedactConfig[], binary: string, want: string]>> = {
    'without a binary it is for all': [[password], '', hidden],
    'with a binary, another one': [[{ ...password, binary_regex: ['mysql$'] }], '/bin/sql', args],
    'with a binary, this one': [[{ ...password, binary_regex: ['x', 'mysql$'] }], '/bin/mysql', hidden],
    'one after the other': [
      [password, { redact: ['\\W(foo)', '(bar)$'] }],
      '/x',
      '--verbose=true --password ***** --username **********',
    ],
    'what one has hidden the next does not see': [[password, { redact: ['(ybx511)'] }], '/x', hidden],
  }
  for (const [name, [rules, binary, want]] of Object.entries(rows)) {
    it(name, () => assert.equal(shownArguments(rules, { binary, arguments: args }), want))
  }

  const pod = makePod({ namespace: 'shop', name: 'web-x2', workload: 'web', labels: { app: 'web' } })
  const inContainer = (change: Partial<Container>): Partial<Process> => ({
    pod: { ...pod, container: makeContainer(change) },
  })
  const runtime: Partial<Process> = {
    pod: undefined,
    container: { id: 'a', name: 'web', image: 'nginx:1', imageId: '', labels: { app: 'web' } },
  }
  const places: ReadonlyArray<
    readonly [place: Partial<RedactConfig>, yes: Array<Partial<Process>>, no: Array<Partial<Process>>]
  > = [
    [{ namespaces: ['sh*'] }, [{ pod }], [{ pod: { ...pod, namespace: 'bank' } }]],
    [{ pods: ['web-*'] }, [{ pod }], [{ pod: { ...pod, name: 'db' } }]],
    [{ workloads: ['web'] }, [{ pod }], [{ pod: { ...pod, workload: 'db' } }]],
    [{ containers: ['web'] }, [inContainer({ name: 'web' }), runtime], [inContainer({ name: 'side' })]],
    [{ images: ['nginx*'] }, [inContainer({ image: 'nginx:2' }), runtime], [inContainer({ image: 'redis' })]],
    [{ labels: ['app=web'] }, [{ pod }, runtime], [{ pod: { ...pod, labels: {} } }]],
    [{ namespaces: ['shop'], containers: ['web'] }, [inContainer({ name: 'web' })], [inContainer({ name: 'side' })]],
  ]
  for (const [place, yes, no] of places) {
    it(`with ${Object.keys(place).join(' and ')}: only there and in unknown containers, not on the host`, () => {
      const of = (change: Partial<Process>): string =>
        shownArguments([{ ...password, ...place }], { ...change, arguments: args })
      for (const change of yes) assert.equal(of(change), hidden)
      for (const change of no) assert.equal(of(change), args)
      assert.equal(of({ docker: 'abc', pod: undefined }), hidden)
      assert.equal(of({ docker: '', pod: undefined }), args)
    })
  }

  it('applies to the parent too, by the parent’s own binary', () => {
    const redactor = new Redactor([{ redact: ['(secret)'], binary_regex: ['sh$'] }], noProblem)
    const process = makeProcess({ arguments: 'secret' })
    const parent = makeParent({ arguments: '-c secret' })
    const [event] = redactor.events([makeExit({ process, parent })])
    assert.ok(event?.type === 'process_exit')
    assert.equal(event.process, process)
    assert.equal(event.parent?.arguments, '-c *****')
    const { rendered } = parent
    assert.deepEqual({ ...event.parent, arguments: '-c secret', rendered }, parent)
  })
})

describe('redaction of ancestors', () => {
  it('is that of processes, and leaves an event alone whose ancestors stay the same', () => {
    const redactor = new Redactor([password], noProblem)
    const ancestors = [makeParent({ arguments: 'x' }), makeParent({ pid: 7, arguments: args })]
    const [event] = redactor.events([makeExec({ ancestors })])
    assert.ok(event?.type === 'process_exec')
    assert.deepEqual(
      event.ancestors?.map((each) => each.arguments),
      ['x', hidden],
    )
    assert.equal(event.ancestors?.[0], ancestors[0])
    const same = makeExit({ ancestors: ancestors.slice(0, 1) })
    assert.equal(redactor.events([same])[0], same)
  })
})

describe('redaction of data that only an exec has', () => {
  it('searches all arguments, and variables as name=value', () => {
    const rules: RedactConfig[] = [
      { ...password, binary_regex: ['mysql$'] },
      { redact: ['^(?:\\w*TOKEN|PASSWORD)=(.*)$'], binary_regex: ['mysql$'] },
      { paths: ['/home/([^/]+)'] },
    ]
    const environment: ReadonlyArray<readonly [string, string]> = [
      ['API_TOKEN', 'abc=def'],
      ['PASSWORD', ''],
      ['HOME', '/home/alice'],
      ['LANG', 'C'],
    ]
    const executed = { arguments: `${args} ${'x'.repeat(20_000)} --password second`, environment }
    const exec = makeExec({ process: makeProcess({ binary: '/bin/mysql', arguments: args }), executed })
    const [event] = new Redactor(rules, noProblem).events([exec])
    assert.ok(event?.type === 'process_exec')
    assert.equal(event.process.arguments, hidden)
    assert.equal(event.executed?.arguments, `${hidden} ${'x'.repeat(20_000)} --password *****`)
    assert.deepEqual(event.executed?.environment, [
      ['API_TOKEN', '*****'],
      ['PASSWORD', '*****'],
      ['HOME', '/home/*****'],
      ['LANG', 'C'],
    ])
    const other = makeExec({
      process: makeProcess({ binary: '/bin/sql' }),
      executed: { environment: [['API_TOKEN', 'a']] },
    })
    assert.equal(new Redactor(rules, noProblem).events([other])[0], other)
  })

  it('a name that is redacted too leaves nothing of the variable', () => {
    const exec = makeExec({ executed: { environment: [['SECRET_NAME', 'a']] } })
    const [event] = new Redactor([{ redact: ['^(SECRET.*)$'] }], noProblem).events([exec])
    assert.ok(event?.type === 'process_exec')
    assert.deepEqual(event.executed?.environment, [['', '*****']])
  })
})

describe('redaction of paths', () => {
  const rules: RedactConfig[] = [{ paths: ['^/home/([^/]+)', 'u=(\\w+)'] }]
  const home = '/home/alice/x'
  const kprobe = makeKprobe({
    process: makeProcess({ cwd: home, binary: home, arguments: home }),
    parent: makeParent({ cwd: home }),
    args: [
      file(home, { raw: Buffer.from(home) }),
      { ...file(home), field: 'path_arg' },
      text(home),
      file('/etc/passwd', { raw: Buffer.from('/etc/passwd') }),
      int(4),
    ],
    returned: text('u=alice'),
  })

  it('applies to arguments of hooks, their return values, binaries and directories; nothing else changes', () => {
    const [event] = new Redactor(rules, noProblem).events([kprobe])
    assert.ok(event?.type === 'process_kprobe')
    const shown = '/home/*****/x'
    assert.deepEqual([event.process.cwd, event.process.binary, event.process.arguments], [shown, shown, shown])
    assert.equal(event.parent?.cwd, shown)
    assert.deepEqual(event.args, [
      file(shown),
      { ...file(shown), field: 'path_arg' },
      text(shown),
      kprobe.args[3],
      int(4),
    ])
    assert.deepEqual(event.returned, text('u=*****'))
    assert.deepEqual([event.seq, event.hook, event.tid], [kprobe.seq, kprobe.hook, kprobe.tid])
  })

  it('applies to the files of stacks', () => {
    const frame = { address: 0n, offset: 7, symbol: home, module: '/lib/c.so' }
    const userStack = [frame, { ...frame, module: home }]
    const [event] = new Redactor(rules, noProblem).events([makeKprobe({ userStack })])
    assert.ok(event?.type === 'process_kprobe')
    assert.deepEqual(event.userStack, [frame, { ...frame, module: '/home/*****/x' }])
  })

  it('applies by the binary of the event’s process', () => {
    const only = new Redactor([{ paths: ['^/home/([^/]+)'], binary_regex: ['^/bin/vi$'] }], noProblem)
    const events = ['/bin/vi', '/bin/cat'].map((binary) =>
      makeKprobe({ process: makeProcess({ binary }), args: [file(home)] }),
    )
    const paths = only.events(events).map((event) => event.type === 'process_kprobe' && event.args)
    assert.deepEqual(paths, [[file('/home/*****/x')], [file(home)]])
  })
})

describe('redaction', () => {
  it('returns the same objects if it hides nothing', () => {
    const events = [makeExec(), makeKprobe(), makeExit({ parent: undefined })]
    const got = new Redactor([password, { paths: ['(nothing)'] }], noProblem).events(events)
    for (const [i, event] of got.entries()) assert.equal(event, events[i])
  })

  it('rewrites a process once, so that encoders can cache its rendering', () => {
    const redactor = new Redactor([{ redact: ['(passwd)'] }], noProblem)
    const process = makeProcess()
    const [first] = redactor.events([makeExec({ process })])
    const [second] = redactor.events([makeExit({ process })])
    assert.ok(first?.type === 'process_exec' && second?.type === 'process_exit')
    assert.notEqual(first.process, process)
    assert.equal(first.process, second.process)
    assert.notEqual(first.process.rendered, process.rendered)
  })

  it('copies again after the process was evicted, and the renderings of the copy are removed with the process', () => {
    const redactor = new Redactor([{ redact: ['(passwd)'] }], noProblem)
    const cache = new Renderings(1 << 20)
    const process = makeProcess({ rendered: cache.make() })
    const copy = (): Process => {
      const [event] = redactor.events([makeExec({ process })])
      assert.ok(event?.type === 'process_exec')
      return event.process
    }
    const first = copy()
    assert.ok(cache.bytes > 0)
    cache.limit = 0
    cache.limit = 1 << 20
    const second = copy()
    assert.notEqual(second, first)
    assert.equal(second.arguments, first.arguments)
    second.rendered.keep('json', new Uint8Array(100))
    process.rendered.drop()
    assert.equal(cache.bytes, 0)
  })

  it('returns the same array for the same slice, and another once the array has other events', () => {
    const redactor = new Redactor([password], noProblem)
    const events = [makeExec({ seq: 1 }), makeExec({ seq: 2 })]
    const first = redactor.events(events)
    assert.equal(redactor.events(events), first)
    events.splice(0, 2, makeExec({ seq: 3 }))
    assert.deepEqual(
      redactor.events(events).map(({ seq }) => seq),
      [3],
    )
  })

  it('hides all arguments of a process if it cannot find the secret in time', () => {
    const redactor = new Redactor([{ redact: ['(a)(?:.*b)?'] }], () => {})
    const [event] = redactor.events([makeExec({ process: makeProcess({ arguments: 'a'.repeat(50_000) }) })])
    assert.equal(event?.type === 'process_exec' && event.process.arguments, '*****')
  })
})

describe('redaction and encoders', () => {
  const secret = 'S3cr3tS3cr3t'
  const rules: RedactConfig[] = [{ redact: [`(${secret})`], paths: [`(${secret})`] }]

  /** Every encoder of a pool that redacts, and a separate one that does not. */
  async function encoders(): Promise<Array<readonly [string, Encoder]>> {
    const plain = new EncoderPool('node')
    const pool = plain.shaped({ redact: rules }, noProblem)
    const records = { epoch: 'e', arg_labels: true, event_name_attribute: true } as const
    const otlp = (['json', 'text', 'none'] as const).flatMap((body) =>
      (['protobuf', 'json'] as const).flatMap((protocol) =>
        [false, true].map(
          async (sdk) =>
            [
              `otlp ${protocol} ${body} ${sdk}`,
              await pool.otlp({ ...DEFAULT_RECORDS, ...records, body, protocol, sdk }),
            ] as const,
        ),
      ),
    )
    const compact = [false, true].map((color) => [`compact`, pool.compact({ color, timestamps: true })] as const)
    return [['json', pool.json()], ...compact, ...(await Promise.all(otlp)), ['unredacted', plain.json()]]
  }

  const paths = fc.array(fc.tuple(fc.nat(8), fc.nat(20)), { minLength: 8, maxLength: 8 })
  const withSecrets = fc
    .tuple(anyProcessEvents, paths)
    .map(([events, all]) => events.map((event, i) => withSecret(event, ...(all[i] ?? [0, 0]))))
    .filter(({ length }) => length > 0)

  /** Puts the secret into one position of one text of the event. */
  function withSecret(event: ProcessEvent, where: number, at: number): Event {
    const put = (value: string): string => {
      const characters = [...value.toWellFormed()]
      return [...characters.slice(0, at), secret, ...characters.slice(at)].join('')
    }
    const parent = event.parent ?? makeParent()
    switch (where) {
      case 0:
        return { ...event, process: makeProcess({ arguments: put(event.process.arguments) }) }
      case 1:
        return { ...event, process: makeProcess({ cwd: put(event.process.cwd) }) }
      case 2:
        return { ...event, process: makeProcess({ binary: put(event.process.binary) }) }
      case 3:
        return { ...event, parent: makeParent({ binary: put(parent.binary) }) }
      case 4:
        return { ...event, parent: makeParent({ arguments: put(parent.arguments) }) }
      case 5:
        return makeKprobe({ args: [file(put('/a')), int(4)] })
      case 6:
        return makeKprobe({ args: [int(1), text(put('/a')), { ...file(put('/b')), field: 'path_arg' }] })
      case 7:
        return makeKprobe({ returned: text(put('')) })
      default:
        return makeKprobe({ args: [file(put('/a'), { raw: Buffer.from(put('/a')) }), text(put('x'))] })
    }
  }

  it('no encoding contains a secret, and the unredacted line does', async () => {
    const all = await encoders()
    fc.assert(
      fc.property(withSecrets, (events) => {
        for (const [name, encoder] of all) {
          const bytes = Buffer.from(encoder.encode(events).bytes)
          assert.equal(bytes.includes(secret), name === 'unredacted', name)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('equal settings share their lines; other settings are another pool', async () => {
    const plain = new EncoderPool('node')
    const pool = plain.shaped({ redact: rules }, noProblem)
    assert.equal(plain.shaped({}, noProblem), plain)
    assert.equal(plain.shaped({ redact: [...rules] }, noProblem), pool)
    assert.notEqual(plain.shaped({ redact: [password] }, noProblem), pool)
    assert.equal(pool.json(), pool.json())
    assert.notEqual(pool.json(), plain.json())
    const events = [makeExec({ process: makeProcess({ arguments: secret }) })]
    const encoded = pool.json().encode(events)
    await pool
      .otlp({ ...DEFAULT_RECORDS, epoch: 'e', body: 'json', protocol: 'protobuf', sdk: false })
      .then((otlp) => otlp.encode(events))
    assert.equal(pool.json().encode(events), encoded)
  })

  it('fields filter the body of an OTLP record, redaction applies to body and attributes', async () => {
    const fields = [{ fields: 'process', action: 'INCLUDE', invert_event_set: false }] as const
    const pool = new EncoderPool('node').shaped({ redact: rules, fields }, noProblem)
    const events = [makeExec({ process: makeProcess({ arguments: secret }) })]
    const [line = ''] = linesOf(pool.json().encode(events))
    assert.deepEqual(Object.keys(JSON.parse(line).process_exec), ['process'])
    const otlp = await pool.otlp({ ...DEFAULT_RECORDS, epoch: 'e', body: 'json', protocol: 'json', sdk: false })
    const record = JSON.parse(Buffer.from(otlp.encode(events).bytes).toString().slice(0, -1))
    assert.equal(record.body.stringValue, line.trimEnd())
    assert.match(JSON.stringify(record.attributes), /"vi"\},\{"stringValue":"\*{5}/)
  })
})
