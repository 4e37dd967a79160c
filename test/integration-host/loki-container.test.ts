/**
 * From the YAML of a config to Grafana Loki, and back by LogQL, if its image can be pulled. The Loki of
 * test/support/otlp/loki.ts has the same limits and needs no image.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Audit } from '../../exporters/audit/audit.ts'
import { lokiSource } from '../../exporters/audit/loki.ts'
import { findEngine } from '../support/containers/engine.ts'
import { countOf, linesOf, lokiImage, startLoki } from '../support/containers/loki.ts'
import { Pipeline } from '../support/containers/pipeline.ts'
import { eventAt, numbersIn } from '../support/delivery/events.ts'
import { ANSWER_FILE, realAnswer, recordedAnswer } from '../support/otlp/loki-answer.ts'
import { openOf, refusedQueries } from '../support/otlp/refused.ts'

const EVENTS = 200
const VISIBLE_MS = 30_000
const LOOK_MS = 200

const found = await findEngine()
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})

test(`loki container: ${EVENTS} events are visible by LogQL, each once`, async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  const { engine } = found
  const chosen = await lokiImage(engine)
  if ('missing' in chosen) return t.skip(chosen.missing)
  await using loki = await startLoki(engine, chosen.image)
  const startMs = Date.now()
  const yaml = `exporters:
  loki: { type: otlp, endpoint: "http://${loki.address}/otlp", loki: true, body: json, service_name: ktrail-test,
    retry: { initial: 100ms, max: 1s } }
`
  await using pipeline = await Pipeline.start(yaml, (seq) => eventAt(seq, startMs + seq))
  await pipeline.publish(0, EVENTS)
  await pipeline.delivered(EVENTS)
  await pipeline.stop(EVENTS)

  // Accepted entries become visible a moment later.
  const end = performance.now() + VISIBLE_MS
  let lines: string[] = []
  do {
    lines = await linesOf(loki.address, '{service_name="ktrail-test"}', EVENTS * 2)
  } while (lines.length < EVENTS && performance.now() < end && (await pause(LOOK_MS, true)))
  const numbered = new Audit()
  const signal = AbortSignal.timeout(60_000)
  const options = { env: {}, sinceMs: undefined, nowMs: Date.now() + 60_000, signal, heard: () => {} }
  for await (const record of lokiSource(`loki://${loki.address}?{service_name="ktrail-test"}`, options)()) {
    if (typeof record === 'object') numbered.add(record)
  }
  const [stream] = numbered.report({ nowMs: Date.now(), partial: false })
  assert.deepEqual([stream?.runs[0]?.records, stream?.runs[0]?.untold, stream?.runs[0]?.twice], [EVENTS, [], 0])
  // The answer has a stream for each set of attributes: only entries of one stream are ordered.
  const seen = numbersIn(lines.map((line) => `${line}\n`).join('')).toSorted((a, b) => a - b)
  assert.deepEqual(seen, [...Array(EVENTS).keys()])
})

test('loki container: it keeps of the golden events what its recorded answer has (else: UPDATE_GOLDEN=1)', async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  const { engine } = found
  const chosen = await lokiImage(engine)
  if ('missing' in chosen) return t.skip(chosen.missing)
  await using loki = await startLoki(engine, chosen.image)
  const answer = await realAnswer(loki.address)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    writeFileSync(ANSWER_FILE, answer.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
  }
  assert.deepEqual(answer, recordedAnswer())
})

test('loki container: the panel and the query for refused accesses count an open that was refused, by its path', async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  const { engine } = found
  const chosen = await lokiImage(engine)
  if ('missing' in chosen) return t.skip(chosen.missing)
  await using loki = await startLoki(engine, chosen.image)
  const time = { sec: Math.floor(Date.now() / 1000), nsec: 0 }
  const yaml = `exporters:
  loki: { type: otlp, endpoint: "http://${loki.address}/otlp", loki: true, service_name: ktrail-test }
`
  // One open was refused, the other was not.
  await using pipeline = await Pipeline.start(yaml, (seq) => openOf('/etc/shadow', seq === 0 ? -13 : 3, { seq, time }))
  await pipeline.publish(0, 2)
  await pipeline.delivered(2)
  await pipeline.stop(2)
  for (const query of refusedQueries('ktrail-test')) {
    const end = performance.now() + VISIBLE_MS
    let count = 0
    do {
      count = await countOf(loki.address, query)
    } while (count < 1 && performance.now() < end && (await pause(LOOK_MS, true)))
    assert.equal(count, 1, query)
  }
})
