/**
 * Our OTLP exporter with the real OpenTelemetry Collector, on the host (no kernel is needed). The collector sends to a
 * scripted sink, so that arrivals can be reconciled by id. The collector is built with Go; without Go the tests are skipped
 * with that reason.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { inspect, promisify } from 'node:util'
import { pino } from 'pino'
import { parse } from 'yaml'
import { z } from 'zod'
import { batchOf } from '../../exporters/contract/encoded.ts'
import { createFanOut } from '../../exporters/start.ts'
import { loadConfig } from '../../config/agent/load.ts'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import { EncoderPool } from '../../exporters/index.ts'
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { createOtlpJsonEncoder } from '../../exporters/encoding/otlp/json-encode.ts'
import { OtlpExporter } from '../../exporters/sinks/otlp/exporter.ts'
import type { OtlpConfig } from '../../exporters/sinks/otlp/exporter.ts'
import { Sender } from '../../exporters/sending/sender.ts'
import type { Event } from '../../exporters/contract/event.ts'
import { Collector, collectorProgram } from '../support/otlp/collector.ts'
import { seqOf } from '../support/otlp/decode.ts'
import { FakeLoki } from '../support/otlp/loki.ts'
import { FakeSink, OK, rpcStatus } from '../support/otlp/server.ts'
import type { Answer, Received, Script } from '../support/otlp/server.ts'
import { goldenEvents } from '../unit/exporters/support/golden-events.ts'
import { file, makeKprobe } from '../unit/exporters/support/events.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import { until } from '../unit/exporters/support/fake-clock.ts'
import { gzip, zstd } from '../../native/index.ts'
import { CHAIN, CONTEXT, exporterConfig } from '../support/exporter-config.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'
import { LONG } from '../support/long.ts'
import { PAGES, blocks, read } from '../unit/support/pages.ts'

const found = await collectorProgram()
const skip = 'missing' in found ? found.missing : false
const program = 'program' in found ? found.program : ''

interface CollectorConfig {
  readonly receivers: object
  readonly exporters: object
  readonly processors?: object
  readonly service: {
    readonly pipelines: {
      readonly logs: {
        readonly receivers: readonly string[]
        readonly exporters: readonly string[]
        readonly processors?: readonly string[]
      }
    }
  }
}

const EXPORTERS = z.object({
  exporters: z.object({ collector: z.looseObject({ endpoint: z.string(), spool: z.unknown() }) }),
})

/** With KTRAIL_LONG=1 five times as many in batches that are five times as large: the same number of requests, refusals and kills. */
const SCALE = LONG ? 5 : 1
const EVENTS = 4000 * SCALE
const SLICE = 40 * SCALE
const json = createJsonEncoder({ nodeName: 'node-1' })
const mapping = { ...DEFAULT_RECORDS, epoch: '1795520000', json }
/** An exporter to this address, with the agent's compressors. */
function exporterTo(url: string, change: Partial<OtlpConfig> = {}): OtlpExporter {
  const keys = { logs_endpoint: url, request_timeout: '5s', concurrency: { max: 1 } }
  const config = { ...exporterConfig('otlp', keys), ...change }
  return new OtlpExporter(config, { ...CONTEXT, nodeName: 'node-1' }, { compressors: { gzip, zstd } })
}
const observed = () => ({ sec: 1_795_528_990, nsec: 1 })
const senderOptions = {
  ...CHAIN,
  queue: { ...CHAIN.queue, max_events: EVENTS },
  batch: { max_events: 100 * SCALE, max_bytes: 1 << 20, max_wait: 10 },
  retry: { initial: 20, max: 200 },
}

function eventAt(seq: number): Event {
  return makeKprobe({ seq, time: { sec: 1_795_528_989, nsec: seq }, args: [file(`/etc/file-${seq % 97}`)] })
}

/** The events that the sink has stored, by id; how often each; and the JSON line that came with it. */
class Ledger {
  readonly times = new Map<number, number>()
  wrong = 0

  take(request: Received): void {
    for (const record of request.logs().records) {
      const seq = seqOf(record)
      this.times.set(seq, (this.times.get(seq) ?? 0) + 1)
      const { body } = record
      const line = Buffer.from(json.encode([eventAt(seq)]).bytes)
        .toString()
        .trimEnd()
      if (body === undefined || !('stringValue' in body) || body.stringValue !== line) this.wrong++
    }
  }

  get missing(): number[] {
    return Array.from({ length: EVENTS }, (_, i) => i).filter((seq) => !this.times.has(seq))
  }

  get duplicates(): number {
    return [...this.times.values()].reduce((sum, times) => sum + times - 1, 0)
  }
}

/** Offers all events; every `killEvery` of them the collector is killed while it works, and restarted. */
async function run(collector: Collector, change: Partial<OtlpConfig>, kills: number): Promise<Sender> {
  const exporter = exporterTo(collector.url, change)
  const encoder = exporter.encoding === 'otlp' ? createOtlpEncoder(mapping) : createOtlpJsonEncoder(mapping)
  const sender = new Sender('otlp', exporter, senderOptions)
  await sender.start()
  // Without this the exporter of a failed test would continue to send.
  using stack = new DisposableStack()
  stack.defer(() => void sender.stop(0))
  const every = Math.ceil(EVENTS / (kills + 1))
  for (let seq = 0; seq < EVENTS; seq += SLICE) {
    const wait = sender.offer(encoder.encode(Array.from({ length: SLICE }, (_, i) => eventAt(seq + i))))
    if (wait !== undefined) await wait
    assert.equal(sender.imbalance(), 0)
    if (seq > 0 && Math.floor(seq / every) !== Math.floor((seq - SLICE) / every)) {
      const before = sender.accounting().delivered
      await until('some more is delivered', () => sender.accounting().delivered > before, 60_000)
      await collector.kill()
      await until('the exporter notices', () => sender.accounting().state === 'retrying', 60_000)
      await collector.start()
    }
  }
  await until('all is delivered', () => sender.accounting().heldEvents === 0, 120_000)
  await sender.stop(10_000)
  return sender
}

function reconcile(t: { diagnostic(text: string): void }, sender: Sender, ledger: Ledger): void {
  const { delivered, rejected, dropped, accepted, retries } = sender.accounting()
  assert.deepEqual(ledger.missing, [])
  assert.equal(ledger.wrong, 0)
  assert.equal(ledger.times.size, EVENTS)
  assert.deepEqual([accepted, delivered, rejected], [EVENTS, EVENTS, {}])
  assert.deepEqual(
    Object.values(dropped).filter((count) => count > 0),
    [],
  )
  assert.equal(sender.imbalance(), 0)
  t.diagnostic(`${EVENTS} of ${EVENTS} arrived, ${ledger.duplicates} again, ${retries} retries`)
}

/** Good and bad answers in a fixed order; `stored` ones that fail afterwards cause duplicates. */
function failure(ledger: Ledger): Script {
  const plan: ReadonlyArray<readonly [stored: boolean, answer: Answer]> = [
    [true, OK],
    [false, { status: 503, headers: { 'retry-after': '0' } }],
    [true, OK],
    [false, { status: 429 }],
    [true, { status: 502 }],
    [true, OK],
    [false, { status: 200, fault: 'reset' }],
    [true, { status: 200, fault: 'reset' }],
    [true, OK],
  ]
  return (request, call) => {
    const [stored, answer] = plan[call % plan.length] ?? [true, OK]
    if (stored) ledger.take(request)
    return answer
  }
}

test('collector: every record type passes a real collector unchanged, in protobuf and in JSON', { skip }, async () => {
  for (const protocol of ['http/protobuf', 'http/json'] as const) {
    for (const compression of ['none', 'gzip', 'zstd'] as const) {
      await using sink = await FakeSink.start()
      await using collector = await Collector.start(program, sink.url)
      await using exporter = exporterTo(collector.url, { protocol, compression })
      await exporter.start()
      const make = protocol === 'http/protobuf' ? createOtlpEncoder : createOtlpJsonEncoder
      const part = make({ ...mapping, observed, arg_labels: true }).encode(goldenEvents())
      const batch = { parts: [part], count: part.count, sizeBytes: part.bytes.length }
      assert.deepEqual(await exporter.send(batch, new AbortController().signal), { status: 'delivered' })
      await using direct = await FakeSink.start()
      await using straight = exporterTo(direct.url, { protocol, compression })
      await straight.start()
      await straight.send(batch, new AbortController().signal)
      assert.deepEqual(sink.requests[0]?.logs(), direct.requests[0]?.logs())
    }
  }
})

test(
  'collector: a probe passes at its path, fails at another one, and nothing reaches the sink',
  { skip },
  async () => {
    await using sink = await FakeSink.start()
    await using collector = await Collector.start(program, sink.url)
    for (const protocol of ['http/protobuf', 'http/json'] as const) {
      for (const compression of ['none', 'gzip', 'zstd'] as const) {
        await using exporter = exporterTo(collector.url, { protocol, compression })
        assert.match(await exporter.probe(new AbortController().signal), /, plain; took a request without records$/)
      }
    }
    await using lost = exporterTo(collector.url.replace('/logs', '/lgos'))
    await assert.rejects(lost.probe(new AbortController().signal), /answered 404: .*; check the endpoint$/)
    assert.equal(sink.requests.length, 0)
  },
)

test(
  'collector: configs of the pages pass its own validation, with debug in place of parts that this one lacks',
  {
    skip,
  },
  async (t) => {
    const configs = PAGES.flatMap((page) => blocks(read(page), 'yaml collector').map((text) => ({ page, text })))
    assert.ok(configs.length >= 4)
    const validated = (config: object): Promise<unknown> =>
      promisify(execFile)(program, ['validate', '--config', `yaml:${JSON.stringify(config)}`])
    const lacks = new Set<string>()
    for (const { page, text } of configs) {
      const { receivers, exporters, processors = {}, service } = parse(text) as CollectorConfig
      for (const name of [...Object.keys(exporters), ...Object.keys(processors)]) lacks.add(name)
      const { logs } = service.pipelines
      // Each name of the pipeline is a part of the config.
      assert.deepEqual(logs.exporters, Object.keys(exporters), page)
      assert.deepEqual(logs.processors ?? [], Object.keys(processors), page)
      const pipelines = { logs: { receivers: logs.receivers, exporters: ['debug'] } }
      await validated({ receivers, exporters: { debug: {} }, service: { ...service, pipelines } })
    }
    t.diagnostic(`not validated, because they are not in the collector of the tests: ${[...lacks].join(', ')}`)
    await assert.rejects(validated({ receivers: { otlp: { protocol: {} } }, exporters: { debug: {} } }), /protocol/)
  },
)

test('collector: with the keys of the page, a Loki behind it has the names of events', { skip }, async () => {
  const page = blocks(read('docs/how-to/send-to-loki.md'), 'yaml').find((text) => text.includes('http://collector:'))
  const { endpoint, spool, ...keys } = EXPORTERS.parse(parse(page ?? '')).exporters.collector
  assert.ok(endpoint !== '' && spool !== undefined)
  const loki = new FakeLoki()
  await using sink = await FakeSink.start(loki.script)
  await using collector = await Collector.start(program, sink.url)
  const config = exporterConfig('otlp', { ...keys, logs_endpoint: collector.url })
  await using exporter = new OtlpExporter(config, { ...CONTEXT, nodeName: 'node-1' }, { compressors: { gzip, zstd } })
  await exporter.start()
  const time = { sec: Math.floor(Date.now() / 1000), nsec: 0 }
  const encoder = createOtlpEncoder({ ...config, epoch: 'e', json })
  const outcome = await exporter.send(batchOf([encoder.encode([makeKprobe({ time })])]), new AbortController().signal)
  assert.deepEqual(outcome, { status: 'delivered' })
  const [{ line, metadata } = assert.fail()] = loki.entries
  const named = new Map(JSON.parse(metadata))
  assert.deepEqual(
    [line, named.get('event_name'), named.get('process_command_line')],
    ['write /bin/vi /etc/passwd', 'ktrail.process_kprobe', '/bin/vi /etc/passwd'],
  )
})

test('collector: killed four times under load, all events arrive', { skip }, async (t) => {
  const ledger = new Ledger()
  await using sink = await FakeSink.start((request) => {
    ledger.take(request)
    return OK
  })
  await using collector = await Collector.start(program, sink.url)
  reconcile(t, await run(collector, {}, 4), ledger)
})

test(
  'collector: with a sink behind it that answers 503, 429, 502 and resets, all events arrive',
  { skip },
  async (t) => {
    const ledger = new Ledger()
    await using sink = await FakeSink.start(failure(ledger))
    await using collector = await Collector.start(program, sink.url)
    reconcile(t, await run(collector, { compression: 'zstd' }, 1), ledger)
  },
)

test('collector: in JSON, killed once under load, all events arrive', { skip }, async (t) => {
  const ledger = new Ledger()
  await using sink = await FakeSink.start(failure(ledger))
  await using collector = await Collector.start(program, sink.url)
  reconcile(t, await run(collector, { protocol: 'http/json' }, 1), ledger)
})

test(
  'collector: by config, killed under load, with a sink that answers 503, and with a file exporter: all events arrive in both',
  { skip },
  async (t) => {
    using folder = new Folder()
    const ledger = new Ledger()
    await using sink = await FakeSink.start(failure(ledger))
    await using collector = await Collector.start(program, sink.url)
    const text = `exporters:
  otel:
    type: otlp
    endpoint: "${collector.url.replace('/v1/logs', '')}"
    compression: zstd
    concurrency: { max: 4 }
    queue: { when_full: block, max_events: ${1000 * SCALE} }
    batch: { max_events: ${100 * SCALE}, max_wait: 10ms }
    retry: { initial: 20ms, max: 200ms }
  archive: { type: file, path: "${folder.at('events.jsonl')}", fsync: never }
`
    const loaded = loadConfig(text, 'ktrail.yaml', {})
    assert.ok('config' in loaded, JSON.stringify(loaded))
    const encoders = new EncoderPool('node-1')
    const context = {
      nodeName: 'node-1',
      epoch: '1795520000',
      encoders,
      compressors: { gzip, zstd },
      env: {},
      log: pino({ level: 'silent' }),
    }
    const fanOut = await createFanOut(loaded.config.exporters, context)
    await fanOut.start()
    using stack = new DisposableStack()
    stack.defer(() => void fanOut.stop(0))
    const [sender, archive] = fanOut.senders
    assert.ok(sender !== undefined && archive !== undefined)
    for (let seq = 0; seq < EVENTS; seq += SLICE) {
      if (seq === EVENTS / 2) {
        await collector.kill()
        await until('the exporter notices', () => sender.accounting().state === 'retrying', 60_000)
        await collector.start()
      }
      const wait = fanOut.publish(Array.from({ length: SLICE }, (_, i) => eventAt(seq + i)))
      if (wait !== undefined) await wait
    }
    await until('all is delivered', () => sender.accounting().heldEvents === 0, 120_000)
    await fanOut.stop(10_000)
    reconcile(t, sender, ledger)
    assert.equal(archive.accounting().delivered, EVENTS)
    assert.equal(folder.read('events.jsonl').trimEnd().split('\n').length, EVENTS)
  },
)

test(
  'collector: bytes that are not OTLP get status 400, a wrong path gets 404, and both are held',
  { skip },
  async () => {
    await using sink = await FakeSink.start(() => ({ status: 200, body: rpcStatus('') }))
    await using collector = await Collector.start(program, sink.url)
    const garbage = Buffer.from('\x12\x05\xff\xff\xff\xff\xff', 'latin1')
    const ends = Uint32Array.of(garbage.length)
    const part = { encoding: 'otlp', bytes: garbage, ends, count: 1, firstSeq: 0 } as const
    const batch = { parts: [part], count: 1, sizeBytes: garbage.length }
    await using exporter = exporterTo(collector.url, { compression: 'none' })
    await exporter.start()
    const malformed = await exporter.send(batch, new AbortController().signal)
    assert.equal(malformed.status, 'hold', inspect(malformed))
    await using lost = exporterTo(collector.url.replace('/v1/logs', '/nowhere'), { compression: 'none' })
    await lost.start()
    assert.equal((await lost.send(batch, new AbortController().signal)).status, 'hold')
    assert.equal(sink.requests.length, 0)
  },
)
