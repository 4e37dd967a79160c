// The algorithm of docs/explanation/audit-algorithm.md for a topic: npm install kafkajs; node audit.ts BROKERS TOPIC
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'

// kafkajs has no zstd: this adds it, from Node 22.15 on.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: async ({ buffer }: { buffer: Buffer }) => zstdCompressSync(buffer),
  decompress: async (bytes: Buffer) => zstdDecompressSync(bytes),
})

class Run {
  numbers = new Set<number>()
  keys = new Set<string>()
  highest: number[] = []
  told = 0
  twice = 0
  disorder = 0
  newestMs = 0
  heartbeatMs = 60_000
  stopped = false
  previous = ''
}
const streams: Record<string, Record<string, Run>> = {}

function add(partition: number, timeMs: number, headers: Record<string, string>) {
  const [, exporter, text] = /^(.+)-(\d+)$/.exec(headers.exporter_seq ?? '') ?? []
  const [, id] = /^(.+)-\d+$/.exec(headers.seq ?? '') ?? []
  if (exporter === undefined || id === undefined) return
  const [number, run] = [Number(text), ((streams[`${headers.node} ${exporter}`] ??= {})[id] ??= new Run())]
  const key = headers.run_phase === undefined ? `${number}` : `${number} in ${partition}`
  if (run.keys.has(key)) run.twice++
  else if (!run.numbers.has(number)) {
    if (number < (run.highest[partition] ?? 0)) run.disorder++
    if (headers.loss_exporter === exporter) run.told += Number(headers.loss_count)
  }
  run.keys.add(key)
  run.numbers.add(number)
  run.highest[partition] = Math.max(number, run.highest[partition] ?? 0)
  run.newestMs = Math.max(run.newestMs, timeMs)
  if (headers.run_phase === undefined) return
  run.stopped ||= headers.run_phase === 'stop'
  run.previous = headers.run_previous ?? ''
  run.heartbeatMs = Number(headers.run_heartbeat_ms)
}

/** Whether all is there or told. */
function report(): boolean {
  let complete = Object.keys(streams).length > 0
  for (const [name, runs] of Object.entries(streams).toSorted()) {
    let told = 0
    // From the last: a loss record may tell of its own run and of earlier ones.
    const lines = Object.keys(runs)
      .toSorted()
      .toReversed()
      .map((id, i, { length }) => {
        const { numbers, twice, disorder, newestMs, heartbeatMs, stopped, previous, told: own } = runs[id] ?? new Run()
        const missing = numbers.values().reduce((a, b) => Math.max(a, b), -1) + 1 - numbers.size
        const untold = Math.max(0, missing - (told += own))
        told -= missing - untold
        const running = i === 0 && Date.now() <= newestMs + heartbeatMs + 30_000
        const end = stopped ? 'stopped' : running ? 'running' : 'open'
        const lost = previous === '' ? i < length - 1 : runs[previous] === undefined
        complete &&= untold === 0 && end !== 'open' && !lost
        const counts = `missing ${missing}, untold ${untold}, twice ${twice}, out of order ${disorder}`
        return `${name} ${id}: ${counts}, ${end}${lost ? ', run before it missing' : ''}`
      })
    console.log(lines.toReversed().join('\n'))
  }
  return complete
}

const [brokers = '', topic = ''] = process.argv.slice(2)
const kafka = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.ERROR })
const admin = kafka.admin()
await admin.connect()
const ends = (await admin.fetchTopicOffsets(topic)).filter(({ low, high }) => low !== high)
const left = new Map(ends.map(({ partition, high }) => [partition, BigInt(high)]))
await admin.disconnect()
const consumer = kafka.consumer({ groupId: `audit-${process.pid}-${Date.now()}` })
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
const end = Promise.withResolvers<void>()
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ partition, message: { headers = {}, timestamp, offset } }) => {
    const texts = Object.entries(headers).map(([name, value]) => [name, String(value)])
    if (left.has(partition)) add(partition, Number(timestamp), Object.fromEntries(texts))
    if (BigInt(offset) + 1n >= (left.get(partition) ?? 0n)) left.delete(partition)
    if (left.size === 0) end.resolve()
  },
})
if (left.size > 0) await end.promise
await consumer.disconnect()
process.exitCode = report() ? 0 : 1
