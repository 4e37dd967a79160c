/** However many processes, paths and pods an agent has seen, the metrics have the same samples. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HookRegistry } from '../../../../collector/ingest/hooks.ts'
import { createMetrics } from '../../../../collector/telemetry/metrics/metrics.ts'
import { Sender } from '../../../../exporters/index.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import type { Event } from '../../../../exporters/contract/event.ts'
import { parsePrometheus } from '../../../support/prometheus.ts'
import { settle } from '../../exporters/support/fake-clock.ts'
import { FakeExporter, rejected } from '../../exporters/support/lines.ts'
import { file, int, makeExec, makeHook, makeKprobe, makePod, makeProcess } from '../../exporters/support/events.ts'
import { CHAIN } from '../../../support/exporter-config.ts'
import { exec, newTable, scanned } from '../support/processes.ts'
import { makeSources } from '../support/sources.ts'
import { spec } from '../support/specs.ts'

const FIRST_PID = 3_141_000
const MARKS = [/secret-path/, /secret-binary/, /secret-pod/, /3141\d{3}/]

/** The names and labels of a scrape after `count` processes, each with a path, a binary, arguments and a pod of its own. */
async function samplesAfter(count: number): Promise<string[]> {
  const processes = newTable()
  processes.addScanned(scanned(1, 0))
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1, policy: 'files' }), spec())
  const senders = [
    new Sender('takes', new FakeExporter(), CHAIN),
    new Sender('refuses', new FakeExporter(() => rejected('secret-path: no')), CHAIN),
  ]
  for (const sender of senders) await sender.start()
  const events: Event[] = []
  for (let i = 0; i < count; i++) {
    const pid = FIRST_PID + i
    const binary = `/opt/secret-binary-${i}`
    processes.exec(exec(pid, 5 + i, 1, 10_000_000, { filename: binary, argv: [binary, `/secret-path/${i}`] }), 0)
    hooks.take(1, 0)
    const pod = makePod({ namespace: 'shop', name: `secret-pod-${i}` })
    const process = makeProcess({ pid, binary, arguments: `/secret-path/${i}`, pod })
    events.push(makeExec({ seq: 2 * i, process }))
    events.push(makeKprobe({ seq: 2 * i + 1, process, args: [file(`/secret-path/${i}`), int(4)] }))
  }
  const encoded = createJsonEncoder({ nodeName: 'node' }).encode(events)
  assert.match(Buffer.from(encoded.bytes).toString(), /secret-path.*3141000/s)
  for (const sender of senders) sender.offer(encoded)
  await settle()
  const page = createMetrics(
    makeSources({ processes, hookEvents: () => hooks.eventsByHook(), senders: () => senders, records: () => count }),
  )
  const text = await page.text()
  for (const sender of senders) await sender.stop(0)
  for (const mark of MARKS) assert.doesNotMatch(text, mark)
  return parsePrometheus(text).flatMap(({ name, samples }) =>
    samples.map(({ labels }) => `${name} ${JSON.stringify(labels)}`),
  )
}

test('metrics: no label has a pid, a path or a pod: a thousand of each add no sample', async () => {
  assert.deepEqual(await samplesAfter(1000), await samplesAfter(1))
})
