/** From a config that names a package to events at its sink. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { createFanOut } from '../../../../collector/outputs/outputs.ts'
import { configOrThrow, parseConfigFile } from '../../../../config/check.ts'
import { EncoderPool } from '../../../../exporters/index.ts'
import type { FanOut } from '../../../../exporters/index.ts'
import { seqOf } from '../../../support/otlp/decode.ts'
import { FakeSink } from '../../../support/otlp/server.ts'
import { makeExec } from '../../exporters/support/events.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { EXAMPLE, ROOT, UserFolder } from '../../exporters/third-party/support.ts'

async function fanOutOf(folder: UserFolder, config: string, log = pino({ level: 'silent' })): Promise<FanOut> {
  writeFileSync(folder.configFile, config)
  const loaded = configOrThrow(await parseConfigFile(folder.configFile, {}))
  const encoders = new EncoderPool('node-7')
  const context = { nodeName: 'node-7', epoch: 'e1', encoders, env: {}, log, configFile: folder.configFile }
  return createFanOut(loaded.config.exporters, context)
}

const events = (from: number, to: number): Array<ReturnType<typeof makeExec>> =>
  Array.from({ length: to - from }, (_, i) => makeExec({ seq: from + i }))

async function delivered(fanOut: FanOut, count: number): Promise<void> {
  const [sender] = fanOut.senders
  await until(`${count} events are delivered`, () => sender?.books().delivered === count)
  assert.equal(sender?.imbalance(), 0)
}

test('npm exporter: events reach the sink of an installed package, with a secret from a file and the chain of the config', async () => {
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
  test(`npm exporter: a package that wants ${encoding} gets it, and its warnings are in the log under its name`, async () => {
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

test('npm exporter: a package that breaks the contract holds its events, and the agent says why', async () => {
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
  await until('the exporter holds', () => sender?.books().state === 'hold')
  assert.match(
    sender?.books().lastError ?? '',
    /^npm:pkg broke the contract of send: expected .*, got nothing; report it/,
  )
  assert.equal(sender?.books().heldEvents, 3)
  await fanOut.stop(0)
  assert.equal(sender?.books().dropped.shutdown, 3)
  assert.equal(sender?.imbalance(), 0)
})
