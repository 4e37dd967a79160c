/** From a config with a package to events at its sink. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { createFanOut, startFanOut } from '../../../../../exporters/start.ts'
import type { ExportersContext } from '../../../../../exporters/sinks/context.ts'
import type { Config } from '../../../../../config/agent/schema.ts'
import { configOrThrow, parseConfigFile } from '../../../../../config/agent/check.ts'
import { EncoderPool } from '../../../../../exporters/index.ts'
import type { FanOut } from '../../../../../exporters/index.ts'
import { seqOf } from '../../../../support/otlp/decode.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import { makeExec } from '../../support/events.ts'
import { until } from '../../support/fake-clock.ts'
import { EXAMPLE, ROOT, UserFolder } from './support.ts'

type Given = readonly [exporters: Config['exporters'], context: ExportersContext]

async function givenOf(folder: UserFolder, text: string, log = pino({ level: 'silent' })): Promise<Given> {
  writeFileSync(folder.configFile, text)
  const { config } = configOrThrow(await parseConfigFile(folder.configFile, {}))
  const encoders = new EncoderPool('node-7')
  return [config.exporters, { nodeName: 'node-7', epoch: 'e1', encoders, env: {}, log, configFile: folder.configFile }]
}

async function fanOutOf(folder: UserFolder, text: string, log = pino({ level: 'silent' })): Promise<FanOut> {
  return createFanOut(...(await givenOf(folder, text, log)))
}

const events = (from: number, to: number): Array<ReturnType<typeof makeExec>> =>
  Array.from({ length: to - from }, (_, i) => makeExec({ seq: from + i }))

async function delivered(fanOut: FanOut, count: number): Promise<void> {
  const [sender] = fanOut.senders
  await until(`${count} events are delivered`, () => sender?.accounting().delivered === count)
  assert.equal(sender?.imbalance(), 0)
}

test('npm exporter: events reach the sink of an installed package, with a secret from a file and the configured chain', async () => {
  using folder = new UserFolder()
  folder.copy(EXAMPLE, 'node_modules/ktrail-exporter-http-lines')
  writeFileSync(folder.at('token'), 's3cret\n')
  let failures = 2
  await using sink = await FakeSink.start(() => ({ status: failures-- > 0 ? 503 : 200 }))
  const fanOut = await fanOutOf(
    folder,
    `exporters:
  web:
    type: npm:ktrail-exporter-http-lines
    options: { url: "${sink.url}", token: "\${file:${folder.at('token')}}" }
    batch: { max_events: 10, max_wait: 0ms }
    retry: { initial: 1ms, max: 1ms }
`,
  )
  await fanOut.start()
  await fanOut.publish(events(0, 25))
  await delivered(fanOut, 25)
  await fanOut.stop(5000)
  const taken = sink.requests.slice(2)
  assert.equal(taken.length, 3)
  const got = taken.flatMap(({ body }) => body.toString().trimEnd().split('\n'))
  assert.equal(got.length, 25)
  for (const line of got) assert.match(line, /^\{"process_exec":.*"node_name":"node-7"/)
  for (const { headers } of sink.requests) assert.equal(headers['authorization'], 'Bearer s3cret')
})

test("npm exporter: OpenTelemetry's own exporter is a package of three lines", async () => {
  using folder = new UserFolder()
  folder.link('@opentelemetry', `${ROOT}/node_modules/@opentelemetry`)
  folder.install(
    'otel',
    `import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
export const ktrail = 1
export const createExporter = (options, context) => context.fromLogRecordExporter(new OTLPLogExporter(options))`,
  )
  await using sink = await FakeSink.start()
  const fanOut = await fanOutOf(
    folder,
    `exporters: { o: { type: npm:otel, options: { url: "${sink.url}" }, batch: { max_wait: 0ms } } }`,
  )
  await fanOut.start()
  await fanOut.publish(events(0, 25))
  await delivered(fanOut, 25)
  await fanOut.stop(5000)
  assert.deepEqual(
    sink.requests.flatMap((request) => request.logs().records.map(seqOf)),
    Array.from({ length: 25 }, (_, i) => i),
  )
})

for (const encoding of ['json', 'compact', 'otlp', 'otlp_json']) {
  test(`npm exporter: a package with encoding ${encoding} gets it, and its warnings are in the log under its name`, async () => {
    using folder = new UserFolder()
    folder.install(
      'pkg',
      `export const ktrail = 1
export const createExporter = (options, { warn }) => ({
  type: 'pkg', encoding: '${encoding}', async start() {}, async stop() {},
  async send({ parts }) { for (const part of parts) warn(part.encoding + ' ' + part.count); return { status: 'delivered' } },
})`,
    )
    const logged: string[] = []
    const log = pino({ level: 'warn', base: null, timestamp: false }, { write: (line) => logged.push(line) })
    const fanOut = await fanOutOf(folder, 'exporters: { mine: { type: npm:pkg, batch: { max_wait: 0ms } } }', log)
    await fanOut.start()
    await fanOut.publish(events(0, 3))
    await delivered(fanOut, 3)
    await fanOut.stop(5000)
    assert.deepEqual(
      logged.map((line) => JSON.parse(line)),
      [{ level: 40, exporter: 'mine', msg: `${encoding} 3` }],
    )
  })
}

test('npm exporter: a package that breaks the contract holds its events, and the agent reports the reason', async () => {
  using folder = new UserFolder()
  folder.install(
    'pkg',
    `export const ktrail = 1
export default () => ({ type: 'pkg', encoding: 'json', async start() {}, async stop() {}, async send() {} })`,
  )
  const fanOut = await fanOutOf(folder, 'exporters: { mine: { type: npm:pkg, batch: { max_wait: 0ms } } }')
  await fanOut.start()
  await fanOut.publish(events(0, 3))
  const [sender] = fanOut.senders
  await until('the exporter holds', () => sender?.accounting().state === 'hold')
  assert.match(
    sender?.accounting().lastError ?? '',
    /^npm:pkg broke the contract of send: expected .*, got nothing; report it/,
  )
  assert.equal(sender?.accounting().heldEvents, 3)
  await fanOut.stop(0)
  assert.equal(sender?.accounting().dropped.shutdown, 3)
  assert.equal(sender?.imbalance(), 0)
})

test('npm exporter: options that a package refuses are an error in the config, reported with the exporter’s name', async () => {
  using folder = new UserFolder()
  folder.install(
    'pkg',
    `export const ktrail = 1; export default () => { throw new Error('options.url: expected one') }`,
  )
  await assert.rejects(fanOutOf(folder, 'exporters: { mine: { type: npm:pkg } }'), (error) => {
    assert.ok(error instanceof ExportError)
    assert.equal(error.code, 'EXPORTER_REFUSED')
    assert.equal(error.message, 'exporters.mine: npm:pkg: options.url: expected one')
    return true
  })
})

for (const [when, made] of [
  ['is made', `new Promise(hang)`],
  [
    'starts',
    `({ type: 'pkg', encoding: 'json', async send() {}, start: () => new Promise(hang), async stop() { warn('stopped') } })`,
  ],
] as const) {
  test(`npm exporter: aborting a start while a package ${when} ends it at once, with everything that was started`, async () => {
    using folder = new UserFolder()
    const hang = `const hang = (letGo) => { globalThis.letGo = letGo; warn('called') }`
    folder.install('pkg', `export const ktrail = 1; export default (options, { warn }) => { ${hang}; return ${made} }`)
    const logged: string[] = []
    const stop = new AbortController()
    const log = pino({}, { write: (line: string) => void logged.push(JSON.parse(line).msg) })
    const config = `exporters: { mine: { type: npm:pkg }, other: { type: file, path: ${folder.at('e.jsonl')} } }`
    const started = startFanOut(...(await givenOf(folder, config, log)), stop.signal)
    const ended = assert.rejects(started, { name: 'AbortError' })
    await until('the package is called', () => logged.includes('called'))
    stop.abort()
    await ended
    assert.deepEqual(logged, when === 'starts' ? ['called', 'stopped'] : ['called'])
    // The limit of the step would keep this process for its ten seconds.
    Reflect.get(globalThis, 'letGo')()
  })
}

test('npm exporter: a failed start stops the exporters that have started', async () => {
  using folder = new UserFolder()
  const members = `type: 'x', encoding: 'json', async send() {}`
  folder.install(
    'bad',
    `export const ktrail = 1; export default () => ({ ${members}, async start() { throw new Error('no') }, async stop() {} })`,
  )
  folder.install(
    'good',
    `export const ktrail = 1; export default (options, { warn }) => ({ ${members}, async start() {}, async stop() { warn('stopped') } })`,
  )
  const logged: string[] = []
  const log = pino({}, { write: (line: string) => void logged.push(JSON.parse(line).msg) })
  const given = await givenOf(folder, 'exporters: { a: { type: npm:good }, b: { type: npm:bad } }', log)
  await assert.rejects(startFanOut(...given, new AbortController().signal), { message: 'npm:bad: cannot start: no' })
  assert.deepEqual(logged, ['stopped'])
})

test('npm exporter: fields are refused for a package that takes compact lines', async () => {
  using folder = new UserFolder()
  const compact = `export const ktrail = 1
export const createExporter = () => ({
  type: 'x', encoding: 'compact', start: async () => {}, stop: async () => {}, send: async () => ({ status: 'delivered' }),
})`
  folder.install('plain', compact)
  await fanOutOf(folder, 'exporters: { o: { type: npm:plain } }')
  await assert.rejects(
    fanOutOf(folder, 'exporters: { o: { type: npm:plain, fields: [{ fields: process.arguments, action: EXCLUDE }] } }'),
    /^ExportError: exporters\.o: exporters\.o\.fields: expected a package that takes json, otlp or otlp_json, plain takes compact lines/,
  )
})
