/** Events by policy and namespace. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NamespaceCounts, OTHERS } from '../../../../../collector/telemetry/metrics/namespaces.ts'
import { MetricsPage } from '../../../../../collector/telemetry/metrics/page.ts'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { parsePrometheus } from '../../../../support/prometheus.ts'
import { makeExec, makeHook, makeKprobe, makePod, makeProcess } from '../../../exporters/support/events.ts'

const hit = (policy: string, namespace?: string): Event =>
  makeKprobe({
    hook: makeHook({ id: 1, policy }),
    process: makeProcess(namespace === undefined ? {} : { pod: makePod({ namespace, name: 'p' }) }),
  })

async function samplesOf(counts: NamespaceCounts): Promise<string[]> {
  const page = new MetricsPage({ ktrail_namespace_events_total: counts.fill })
  return parsePrometheus(await page.text()).flatMap(({ samples }) =>
    samples.map(({ labels, value }) => `${labels['policy']} ${labels['namespace']}=${value}`),
  )
}

test('namespaces: events of policies in pods are counted, others are not', async () => {
  const counts = new NamespaceCounts()
  counts.add([hit('files', 'shop'), hit('files', 'shop'), hit('files', 'bank'), hit('exec', 'shop'), hit('files')])
  counts.add([makeExec({ process: makeProcess({ pod: makePod({ namespace: 'shop', name: 'p' }) }) })])
  assert.deepEqual(await samplesOf(counts), ['files shop=2', 'files bank=1', 'exec shop=1'])
})

test('namespaces: beyond the bound, each policy has one sample for all others', async () => {
  const counts = new NamespaceCounts(2)
  for (let n = 0; n < 1000; n++) counts.add([hit('files', `n${n}`), hit('exec', `n${n}`)])
  counts.add([hit('files', 'n0')])
  assert.deepEqual(await samplesOf(counts), ['files n0=2', `files ${OTHERS}=999`, 'exec n0=1', `exec ${OTHERS}=999`])
})

test('namespaces: the policies of clients that watch are not counted', async () => {
  const counts = new NamespaceCounts()
  const process = makeProcess({ pod: makePod({ namespace: 'shop', name: 'p' }) })
  for (let n = 0; n < 3; n++)
    counts.add([makeKprobe({ hook: makeHook({ policy: `watch-${n}`, private: true }), process })])
  assert.deepEqual(await samplesOf(counts), [])
})
