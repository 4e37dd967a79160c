/** Files by config: rotation, and dead-letter records of a sink that rejects events. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { pino } from 'pino'
import { createFanOut } from '../../../../../exporters/start.ts'
import { loadConfig } from '../../../../../config/agent/load.ts'
import { EncoderPool } from '../../../../../exporters/index.ts'
import type { FanOut } from '../../../../../exporters/index.ts'
import { makeExec } from '../../support/events.ts'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'

function made(text: string): Promise<FanOut> {
  const loaded = loadConfig(text, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const log = pino({ level: 'silent' })
  const encoders = new EncoderPool('node')
  return createFanOut(loaded.config.exporters, { nodeName: 'node', epoch: 'e1', encoders, env: {}, log })
}

const events = (from: number, count: number): ReturnType<typeof makeExec>[] =>
  Array.from({ length: count }, (_, i) => makeExec({ seq: from + i }))

test('file config: a file is rotated, compressed and kept as configured', async (t) => {
  using folder = new Folder()
  const rotate = '{ max_size: 4KiB, compress: true, max_files: 2, max_total_size: 1MiB, max_age: 1d, interval: 1d }'
  const fanOut = await made(`exporters: { f: { type: file, path: ${folder.at('e.jsonl')}, rotate: ${rotate} } }`)
  t.after(() => fanOut.stop(0))
  await fanOut.start()
  fanOut.publish(events(0, 100))
  const zipped = (): string[] => folder.names().filter((name) => name.endsWith('.gz'))
  await until('the rotated ones are compressed', () => folder.names().length === 3 && zipped().length === 2)
  await fanOut.stop(5_000)
  for (const name of zipped()) {
    const text = gunzipSync(readFileSync(folder.at(name))).toString()
    assert.ok(text.length <= 4096 && text.endsWith('\n'))
  }
  const counters = fanOut.senders[0]?.exporter.counters
  assert.ok((counters?.['rotations'] ?? 0) > 5)
  assert.ok((counters?.['deleted_files'] ?? 0) >= (counters?.['rotations'] ?? 0) - 2)
})

test('file config: events that a sink rejects are in the dead-letter file, and counted as rejected', async () => {
  using folder = new Folder()
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(400, { 'content-type': 'text/plain' }).end('no, thank you'))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  try {
    const endpoint = `http://127.0.0.1:${address.port}`
    const deadLetter = `dead_letter: { path: ${folder.at('refused.jsonl')} }`
    const fanOut = await made(`exporters: { o: { type: otlp, endpoint: "${endpoint}", ${deadLetter} } }`)
    await fanOut.start()
    fanOut.publish(events(5, 3))
    await until('they are refused', () => fanOut.senders[0]?.accounting().heldEvents === 0)
    await fanOut.stop(5_000)
    const rejected = Object.values(fanOut.senders[0]?.accounting().rejected ?? {}).reduce(
      (sum, count) => sum + count,
      0,
    )
    assert.equal(rejected, 3)
  } finally {
    server.close()
  }
  const lines = folder
    .read('refused.jsonl')
    .trimEnd()
    .split('\n')
    .map((line): Record<string, unknown> => ({ ...JSON.parse(line) }))
  assert.deepEqual(
    lines.map(({ exporter, encoding, seq }) => [exporter, encoding, seq]),
    [5, 6, 7].map((seq) => ['o', 'otlp', `e1-${seq}`]),
  )
  for (const { event, message } of lines) {
    assert.ok(Buffer.from(String(event), 'base64').includes('process_exec'))
    assert.match(String(message), /no, thank you/)
  }
})
