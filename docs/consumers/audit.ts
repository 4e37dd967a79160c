// The algorithm of docs/audit.md for a topic: npm install kafkajs; node audit.ts BROKERS TOPIC
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'

// kafkajs has no zstd: this adds it, from Node 22.15 on.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (bytes: Buffer) => zstdDecompressSync(bytes),
})

class Run {
  seen = new Set<number>()
  marks = new Set<string>()
  highest: number[] = []
  losses: { count: number; first: number; last: number }[] = []
  twice = 0
  disorder = 0
  lastMs = 0
  stopped = false
  previous = ''
  heartbeatMs = 60_000
}
const streams: Record<string, Record<string, Run>> = {}

function add(partition: number, timeMs: number, headers: Record<string, string>) {
  const [, exporter, text] = /^(.+)-(\d+)$/.exec(headers.exporter_seq ?? '') ?? []
  const id = headers.seq?.replace(/-\d+$/, '')
  if (exporter === undefined || id === undefined) return
  const number = Number(text)
  const run = ((streams[`${headers.node} ${exporter}`] ??= {})[id] ??= new Run())
  run.lastMs = Math.max(run.lastMs, timeMs)
  const copy = headers.run_phase !== undefined && !run.marks.has(`${number} ${partition}`)
  if (headers.run_phase !== undefined) {
    run.marks.add(`${number} ${partition}`)
    run.previous = headers.run_previous ?? ''
    run.heartbeatMs = Number(headers.run_heartbeat_ms)
    if (headers.run_phase === 'stop') run.stopped = true
  }
  const highest = run.highest[partition] ?? -1
  if (run.seen.has(number)) run.twice += copy ? 0 : 1
  else {
    run.disorder += number < highest ? 1 : 0
    const { loss_first: first = -1, loss_last: last = -1, loss_count: count } = headers
    if (headers.loss_exporter === exporter)
      run.losses.push({ count: Number(count), first: Number(first), last: Number(last) })
  }
  run.seen.add(number)
  run.highest[partition] = Math.max(highest, number)
}

function report(): number {
  let complete = Object.keys(streams).length > 0
  for (const [name, byId] of Object.entries(streams).toSorted()) {
    const runs = Object.entries(byId)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, run]) => {
        const top = run.seen.values().reduce((a, b) => Math.max(a, b), 0)
        const gaps = Array.from({ length: top }, (_, n) => n).filter((n) => !run.seen.has(n))
        return { id, run, gaps, missing: gaps.length }
      })
    for (const ranged of [true, false]) {
      for (const [at, { run }] of runs.entries()) {
        for (const { count, first, last } of run.losses.filter((loss) => loss.last >= 0 === ranged)) {
          let left = count
          for (const own of runs.slice(ranged ? at : 0, at + 1).toReversed()) {
            const told = new Set(own.gaps.filter((n) => !ranged || (first <= n && n <= last)).slice(0, left))
            own.gaps = own.gaps.filter((n) => !told.has(n))
            left -= told.size
          }
        }
      }
    }
    for (const [i, { id, run, gaps, missing }] of runs.entries()) {
      const running = i === runs.length - 1 && Date.now() <= run.lastMs + run.heartbeatMs + 30_000
      const end = run.stopped ? 'stopped' : running ? 'running' : 'open'
      const lost = run.previous === '' ? i > 0 : byId[run.previous] === undefined
      if (gaps.length > 0 || end === 'open' || lost) complete = false
      const counts = `missing ${missing}, untold ${gaps.length}, twice ${run.twice}, out of order ${run.disorder}`
      console.log(`${name} ${id}: ${counts}, ${end}${lost ? ', run before it missing' : ''}`)
    }
  }
  return complete ? 0 : 1
}

const [brokers = '', topic = ''] = process.argv.slice(2)
const kafka = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.ERROR })
const admin = kafka.admin()
await admin.connect()
const left = new Map<number, bigint>()
for (const { partition, low, high } of await admin.fetchTopicOffsets(topic))
  if (BigInt(high) > BigInt(low)) left.set(partition, BigInt(high))
await admin.disconnect()
const consumer = kafka.consumer({ groupId: `audit-${process.pid}-${Date.now()}` })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
const end = Promise.withResolvers<void>()
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ partition, message }) => {
    const texts = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)])
    if (left.has(partition)) add(partition, Number(message.timestamp), Object.fromEntries(texts))
    if (BigInt(message.offset) + 1n >= (left.get(partition) ?? 0n)) left.delete(partition)
    if (left.size === 0) end.resolve()
  },
})
if (left.size > 0) await end.promise
await consumer.disconnect()
process.exitCode = report()
