/** `ktrail audit` of real topics: an honest one, and one with each fault. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ktrail } from '../../../collector/cli/ktrail.ts'
import type { KafkaRecord } from '../../../exporters/sinks/kafka/client/record-batch.ts'
import { numberedRun, writeRecords } from '../../support/kafka/numbered.ts'
import { withCluster } from '../../support/kafka/rig.ts'

const PARTITIONS = 3

type Topic = KafkaRecord[][]

/** Changes the first partition. */
const first = (topic: Topic, change: (records: KafkaRecord[]) => KafkaRecord[]): Topic => {
  return topic.map((records, i) => (i === 0 ? change(records) : records))
}
const swapped = (records: KafkaRecord[], a: number, b: number): KafkaRecord[] => {
  const [one, other] = [records[a], records[b]]
  return one === undefined || other === undefined ? records : records.with(a, other).with(b, one)
}
const numberOf = ({ own }: KafkaRecord): number => Number(own['exporter_seq']?.replace('bus-', ''))

/** Removes a record, and hides that in `exporter_seq`. */
function renumbered(topic: Topic): Topic {
  const removed = topic[0]?.[5]
  const [run] = removed?.own['seq']?.split('-') ?? []
  if (removed === undefined) return topic
  return first(topic, (records) => records.toSpliced(5, 1)).map((records) =>
    records.map((record) => {
      const number = numberOf(record)
      const behind = record.own['seq']?.startsWith(`${run}-`) && number > numberOf(removed)
      return behind ? { ...record, own: { ...record.own, exporter_seq: `bus-${number - 1}` } } : record
    }),
  )
}

const FAULTS: Readonly<Record<string, readonly [make: (topic: Topic, runs: readonly Topic[]) => Topic, want: RegExp]>> =
  {
    removed: [(topic) => first(topic, (records) => records.toSpliced(5, 1)), /missing, not reported: number \d+\n/],
    doubled: [
      (topic) => first(topic, (records) => records.toSpliced(9, 0, ...records.slice(3, 5))),
      /twice: 2 records/,
    ],
    swapped: [(topic) => first(topic, (records) => swapped(records, 3, 5)), /out of order: 2 records/],
    renumbered: [
      renumbered,
      /CONTRADICTORY(.|\n)* 1 number of seq without a record before number \d+, although exporter_seq has no gap/,
    ],
    'cut-tail': [(topic) => topic.map((records) => records.slice(0, -2)), /and no stop:/],
    'missing-run': [
      (_, [, second = []]) => second,
      /run run1: all records missing, although the next run refers to it/,
    ],
  }

async function audit(address: string): Promise<{ code: number; out: string }> {
  let out = ''
  const errors: string[] = []
  const code = await ktrail(['audit', address], {
    env: {},
    print: async (text) => ((out += String(text)), true),
    printError: (text) => void errors.push(text),
    nowMs: () => Date.now(),
  })
  assert.deepEqual(errors, [])
  return { code, out }
}

test('kafka audit: an honest topic is whole, and each fault in a topic is found', async (t) => {
  await withCluster(t, { nodes: 1 }, async ({ brokers }, _jars, topics) => {
    const runs = [await numberedRun('run1', '', 300, PARTITIONS), await numberedRun('run2', 'run1', 300, PARTITIONS)]
    const honest = Array.from({ length: PARTITIONS }, (_, i) => runs.flatMap((run) => run[i] ?? []))
    await topics.create('honest', PARTITIONS)
    await writeRecords(brokers, 'honest', honest)
    const address = `kafka://${brokers.join(',')}`
    const whole = await audit(`${address}/honest`)
    assert.match(whole.out, /bus: no unreported loss; 2 runs, 604 records/)
    assert.doesNotMatch(whole.out, /twice|order/)
    assert.equal(whole.code, 0)
    for (const [name, [make, want]] of Object.entries(FAULTS)) {
      await t.test(name, async () => {
        await topics.create(name, PARTITIONS)
        await writeRecords(brokers, name, make(honest, runs))
        const { code, out } = await audit(`${address}/${name}`)
        assert.match(out, want)
        assert.equal(code, /twice|order/.test(String(want)) ? 0 : 1)
      })
    }
    await t.test('two topics are read as one', async () => {
      for (const name of ['left', 'right']) await topics.create(name, 1)
      await writeRecords(brokers, 'left', [honest[0] ?? []])
      await writeRecords(brokers, 'right', [honest.slice(1).flat()])
      assert.match((await audit(`${address}/left,right`)).out, /no unreported loss/)
    })
  })
})
