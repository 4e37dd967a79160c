/** The memory of `ktrail audit` of a topic: bounded, however many records it has. 300,000 of them, or ten million with KTRAIL_LONG=1. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { codecOf } from '../../../exporters/sinks/kafka/client/codecs.ts'
import { KafkaClient } from '../../../exporters/sinks/kafka/client/client.ts'
import { readConnection } from '../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaRecord } from '../../../exporters/sinks/kafka/client/record-batch.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { exporterConfig } from '../../support/exporter-config.ts'
import { numberedRun } from '../../support/kafka/numbered.ts'
import { withCluster } from '../../support/kafka/rig.ts'
import { launchOf } from '../../support/launcher.ts'
import { LONG } from '../../support/long.ts'

const RECORDS = LONG ? 10_000_000 : 300_000
const PARTITIONS = 3
const AT_ONCE = 1000
const MOST_BYTES = 256 << 20
const MAIN = fileURLToPath(new URL('../../../collector/main.ts', import.meta.url))

/** Records of a run as the agent writes them, each partition with every third number. */
async function fill(brokers: readonly string[], topic: string): Promise<void> {
  const [[start, record] = []] = await numberedRun('run1', '', 3, 1)
  assert.ok(start !== undefined && record !== undefined)
  const config = exporterConfig('kafka', { brokers, topic })
  const codec = await codecOf(config, undefined, { gzip, zstd })
  const client = new KafkaClient(await readConnection(config), { warn: () => undefined, codec })
  const numbered = (number: number): KafkaRecord =>
    number === 0
      ? start
      : { ...record, numbers: undefined, own: { ...record.own, seq: `run1-${number}`, exporter_seq: `bus-${number}` } }
  try {
    for (let first = 0; first < RECORDS; first += AT_ONCE * PARTITIONS) {
      const parts = Array.from({ length: PARTITIONS }, (_, partition) => {
        const numbers = Array.from({ length: AT_ONCE }, (__, i) => first + partition + i * PARTITIONS)
        return numbers.filter((number) => number < RECORDS).map(numbered)
      })
      await Promise.all(
        parts.map((part, partition) => (part.length === 0 ? undefined : client.send(topic, partition, part))),
      )
    }
  } finally {
    await client.close()
  }
}

test(`kafka audit: ${RECORDS.toLocaleString('en')} records are read in less than ${MOST_BYTES >> 20} MiB of memory`, async (t) => {
  await withCluster(t, { nodes: 1 }, async ({ brokers }, _jars, topics) => {
    await topics.create('many', PARTITIONS)
    const filling = performance.now()
    await fill(brokers, 'many')
    const started = performance.now()
    const { flags, env } = launchOf()
    const words = [...flags, MAIN, 'audit', '-o', 'json', `kafka://${brokers.join(',')}/many`]
    const child = spawn(process.execPath, words, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const printed = text(child.stdout)
    let mostBytes = 0
    while (child.exitCode === null) {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      mostBytes = Math.max(mostBytes, 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0))
      await pause(50)
    }
    const seconds = (performance.now() - started) / 1000
    const wrote = ((started - filling) / 1000).toFixed(0)
    t.diagnostic(`${(mostBytes / 2 ** 20).toFixed(0)} MiB, ${seconds.toFixed(1)} s; written in ${wrote} s`)
    const { streams } = JSON.parse(await printed)
    const [{ records, untold, outOfOrder, twice }] = streams[0].runs
    assert.deepEqual({ records, untold, outOfOrder, twice }, { records: RECORDS, untold: [], outOfOrder: 0, twice: 0 })
    assert.ok(mostBytes > 0 && mostBytes < MOST_BYTES, `${mostBytes} bytes`)
  })
})
