/**
 * From the YAML of a config to the OpenTelemetry Collector in a container, in each encoding and compression, while it
 * freezes and is killed. Only with KTRAIL_LONG=1: otlp.test.ts runs the collector as a process.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import type { Printed } from '../support/containers/collector.ts'
import { collectorImage, printedRecords, startCollector } from '../support/containers/collector.ts'
import { findEngine } from '../support/containers/engine.ts'
import type { Launched } from '../support/containers/launched.ts'
import { EPOCH, NODE_NAME, Pipeline } from '../support/containers/pipeline.ts'
import { eventOf } from '../support/kafka/events.ts'
import { SKIP_LONG } from '../support/long.ts'

const EVENTS = 5000
const COPY_MS = 20_000
/** Name of the service, and its settings. */
const WAYS: ReadonlyArray<readonly [name: string, keys: string]> = [
  ['protobuf-gzip', 'protocol: http/protobuf, compression: gzip'],
  ['protobuf-zstd', 'protocol: http/protobuf, compression: zstd'],
  ['json', 'protocol: http/json, compression: none'],
]
const json = createJsonEncoder({ nodeName: NODE_NAME })

const found = SKIP_LONG === false ? await findEngine() : { missing: SKIP_LONG }
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})

test(`collector container: paused once, killed once, ${EVENTS} of ${EVENTS} arrive in each encoding`, async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  const { engine } = found
  const chosen = await collectorImage(engine)
  if ('missing' in chosen) return t.skip(chosen.missing)
  await using collector = await startCollector(engine, chosen.image)
  const exporters = WAYS.map(
    ([name, keys]) => `
  ${name}: { type: otlp, endpoint: "http://${collector.address}", service_name: ${name}, ${keys},
    queue: { when_full: block }, request_timeout: 2s, retry: { initial: 100ms, max: 1s } }`,
  )
  await using pipeline = await Pipeline.start(`exporters:${exporters.join('')}\n`, eventOf)

  await pipeline.publish(0, 1000)
  await pipeline.delivered(1000)
  await collector.pause()
  await pipeline.publish(1000, 2000)
  await pipeline.noticed()
  await collector.resume()
  await pipeline.delivered(2000)
  await pipeline.publish(2000, 3000)
  await collector.kill()
  await pipeline.publish(3000, EVENTS)
  await pipeline.noticed()
  await collector.restart()
  await pipeline.delivered(EVENTS)
  await pipeline.stop(EVENTS)

  const printed = await allPrinted(collector)
  for (const [name] of WAYS) {
    const own = printed.filter(({ service }) => service === name)
    const bodies = new Map(own.map(({ uid, body }) => [uid, body]))
    for (let seq = 0; seq < EVENTS; seq++) {
      const line = Buffer.from(json.encode([eventOf(seq)]).bytes).toString()
      assert.equal(bodies.get(`${EPOCH}-${seq}`), line.trimEnd(), `${name}, event ${seq}`)
    }
    assert.equal(bodies.size, EVENTS, `${name}: events arrived that were never published`)
    t.diagnostic(`${chosen.image}, ${name}: ${EVENTS} of ${EVENTS} arrived, ${own.length - EVENTS} again`)
  }
})

/** Docker copies the collector's output with a delay: waits for the expected number of events; the test judges missing ones. */
async function allPrinted(collector: Launched): Promise<Printed[]> {
  const end = performance.now() + COPY_MS
  for (;;) {
    const printed = printedRecords(await collector.output())
    const distinct = new Set(printed.map(({ service, uid }) => `${service} ${uid}`))
    if (distinct.size >= EVENTS * WAYS.length || performance.now() > end) return printed
  }
}
