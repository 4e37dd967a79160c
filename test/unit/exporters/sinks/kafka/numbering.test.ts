/** Numbers by partition, and records about the run in all of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { About, Described } from '../../../../../exporters/contract/described.ts'
import { Numberings } from '../../../../../exporters/contract/numbering.ts'
import { batch, lines } from '../../support/lines.ts'
import { kafkaExporter } from './support/config.ts'
import { fault, FakeClient } from './support/fake-client.ts'

const NEVER = new AbortController().signal
const POLICIES: readonly About[] = ['a', 'b', 'c', 'd'].map((policy) => ({ type: 'process_kprobe', policy }))
const START: About = {
  type: 'agent_run',
  policy: '',
  run: { phase: 'start', heartbeatMs: 60_000, previous: { bus: 'e0' } },
}

function described(first: number, abouts: readonly About[], number = first): Described {
  const seqs = Float64Array.from(abouts, (_, i) => first + i)
  return { ...lines(first, abouts.length), abouts, times: seqs, seqs, number }
}

/** `partition_seq exporter_seq` of all records, by topic and partition. */
function numbersIn(client: FakeClient): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const [topic, partitions] of client.topics) {
    for (const [i, records] of partitions.entries()) {
      if (records.length === 0) continue
      found[`${topic}/${i}`] = records.map(({ own }) => `${own['partition_seq']} ${own['exporter_seq']}`)
    }
  }
  return found
}

test('kafka numbers: each partition has its own, without gaps, also after a refused write', async () => {
  const client = new FakeClient({ events: 3 })
  const numbering = new Numberings('e1').of('bus')
  const exporter = kafkaExporter({ key: 'policy' }, { makeClient: () => client }, numbering)
  await exporter.start()
  const abouts = [...POLICIES, ...POLICIES]
  let refused = 0
  client.plan = () => (refused++ < 2 ? fault('retry') : undefined)
  const first = batch(described(0, abouts))
  assert.equal((await exporter.send(first, NEVER)).status, 'retryable')
  assert.equal((await exporter.send(first, NEVER)).status, 'delivered')
  await exporter.send(batch(described(8, abouts)), NEVER)
  const all = Object.values(numbersIn(client))
  assert.ok(all.length > 1, 'several partitions')
  for (const own of all)
    assert.deepEqual(
      own.map((text) => text.split(' ')[0]),
      own.map((_, i) => `e1-${i}`),
    )
  const exporterNumbers = all.flat().map((text) => Number(text.split('bus-')[1]))
  assert.deepEqual(new Set(exporterNumbers), new Set(Array.from({ length: 16 }, (_, i) => i)))
})

test('kafka numbers: a refused record leaves a gap, and a new exporter of the name continues', async () => {
  const client = new FakeClient()
  const numbering = new Numberings('e1').of('bus')
  const one = kafkaExporter({}, { makeClient: () => client }, numbering)
  await one.start()
  client.plan = ({ records }) => {
    return records.some(({ own }) => own['exporter_seq'] === 'bus-1') ? fault('too_large') : undefined
  }
  assert.equal((await one.send(batch(described(0, POLICIES)), NEVER)).status, 'partial')
  const two = kafkaExporter({}, { makeClient: () => client }, numbering)
  await two.start()
  await two.send(batch(described(4, POLICIES.slice(0, 1))), NEVER)
  assert.deepEqual(numbersIn(client)['events/0'], ['e1-0 bus-0', 'e1-2 bus-2', 'e1-3 bus-3', 'e1-4 bus-4'])
})

test('kafka numbers: a record about the run goes to every partition that has records of it, in topics that exist', async () => {
  const client = new FakeClient({ 't.process_kprobe': 2, 't.events_lost': 1 })
  const numbering = new Numberings('e1').of('bus')
  const exporter = kafkaExporter({ topic: 't.{event_type}', key: 'policy' }, { makeClient: () => client }, numbering)
  await exporter.start()
  await exporter.send(batch(described(0, [START])), NEVER)
  await exporter.send(batch(described(1, POLICIES)), NEVER)
  assert.equal((await exporter.send(batch(described(5, [START])), NEVER)).status, 'delivered')
  const found = numbersIn(client)
  assert.deepEqual(Object.keys(found).toSorted(), ['t.events_lost/0', 't.process_kprobe/0', 't.process_kprobe/1'])
  for (const own of Object.values(found)) assert.match(own.at(-1) ?? '', /^e1-\d bus-5$/)
})

test('kafka numbers: events without a number, from the spool of an earlier release, have none', async () => {
  const client = new FakeClient()
  const exporter = kafkaExporter({}, { makeClient: () => client }, new Numberings('e1').of('bus'))
  await exporter.start()
  const { number: _, ...old } = described(3, POLICIES.slice(0, 1))
  const spooled: Described = { ...old, epoch: 'e0' }
  await exporter.send(batch(spooled), NEVER)
  assert.deepEqual(client.topics.get('events')?.[0]?.[0]?.own, { seq: 'e0-3', partition_seq: 'e1-0' })
})
