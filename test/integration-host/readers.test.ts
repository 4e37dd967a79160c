/**
 * Clients of the API beside the exporters of an agent under load, each over a connection of its own: those that read, those that never do, and
 * hostile ones. The exporters lose nothing, each client gets the number of events that it missed, and nothing stays when they leave.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials } from '@grpc/grpc-js'
import type { ClientReadableStream } from '@grpc/grpc-js'
import { ApiClient } from '../../collector/api/client.ts'
import { GetEventsRequestSchema, GetEventsResponseSchema } from '../../collector/proto/tetragon/events_pb.js'
import { FineGuidanceSensors } from '../../collector/proto/tetragon/sensors_pb.js'
import type { Sample } from '../support/load/agent.ts'
import { LONG } from '../support/long.ts'
import { LoadedAgent } from '../support/load/child.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const PER_SECOND = 5000
const READING = 25
const SILENT = 25
const SECONDS = LONG ? 3 : 1.5
/** Growth under load: the exporters' own needs, the queues and streams of the readers, and garbage that V8 has not collected. */
const MOST_BYTES = 150e6
/** Difference that is allowed after a collection. */
const SLACK_BYTES = 20e6
/** Messages above this length have a process. */
const LOSS_BYTES = 200

/** A reader of all events, over a connection of its own. Reads nothing until `read` is called. */
class Reader {
  events = 0
  lossMessages = 0
  toldLost = 0
  readonly #client: Client
  readonly #call: ClientReadableStream<Buffer>

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    this.#call = this.#client.makeServerStreamRequest(
      '/tetragon.FineGuidanceSensors/GetEvents',
      () => Buffer.from(toBinary(GetEventsRequestSchema, create(GetEventsRequestSchema))),
      (bytes) => bytes,
      null,
    )
    this.#call.on('error', () => {})
  }

  read(): void {
    this.#call.on('data', (bytes: Buffer) => {
      const { event } = bytes.length > LOSS_BYTES ? {} : fromBinary(GetEventsResponseSchema, bytes)
      if (event?.case === 'rateLimitInfo') {
        this.lossMessages++
        this.toldLost += Number(event.value.numberOfDroppedProcessEvents)
      } else this.events++
    })
  }

  leave(): void {
    this.#call.cancel()
    this.#client.close()
  }
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, n) => total + n, 0)

async function sampled(agent: LoadedAgent, what: string, condition: (sample: Sample) => boolean): Promise<Sample> {
  const endMs = performance.now() + 60_000
  for (;;) {
    const sample = await agent.sample()
    if (condition(sample)) return sample
    assert.ok(performance.now() < endMs, `waited in vain for ${what}: ${JSON.stringify(sample)}`)
    await setTimeout(20)
  }
}

test('readers: 50 clients of which 25 never read, and hostile ones, cost the exporters no event and leave nothing', async (t) => {
  using folder = new Folder()
  const path = folder.at('api.sock')
  const address = `unix://${path}`
  const file = folder.at('events.jsonl')
  await using agent = await LoadedAgent.start(
    `server: { grpc: "${address}" }\nexporters: { archive: { type: file, path: "${file}", rotate: { max_size: 1GiB } } }\n`,
  )

  /** Readers come, some read; then publishing pauses, all read, and leave. */
  async function round(): Promise<Sample> {
    await agent.rate(PER_SECOND)
    const before = await agent.sample()
    const readers = Array.from({ length: READING + SILENT }, () => new Reader(address))
    const all = ({ readers: { present } }: Sample): boolean => present === readers.length
    const { published, seconds } = await sampled(agent, 'all readers', all)
    for (const reader of readers.slice(0, READING)) reader.read()
    await setTimeout(SECONDS * 1000)
    const loaded = await agent.sample()
    await agent.rate(0)
    const perSecond = (loaded.published - published) / (loaded.seconds - seconds)
    t.diagnostic(
      JSON.stringify({ perSecond, ...loaded.readers, blockedMs: loaded.blockedMs, MB: loaded.memory.private / 1e6 }),
    )
    assert.ok(perSecond > 0.8 * PER_SECOND, `expected some ${PER_SECOND} events per second, got ${perSecond}`)
    for (const reader of readers.slice(READING)) reader.read()
    // The agent counts exactly the records and the losses that the readers got.
    const got = (): number => sum(readers.map((reader) => reader.events + reader.lossMessages)) + before.readers.sent
    const told = (): number => sum(readers.map((reader) => reader.toldLost)) + before.readers.lost
    const balanced = ({ readers: { sent, lost } }: Sample): boolean => sent === got() && lost === told()
    await sampled(agent, 'all to be read', balanced)
    for (const reader of readers.slice(READING))
      assert.ok(reader.toldLost > 0, 'no loss was reported to a silent client')
    for (const reader of readers) reader.leave()
    await sampled(agent, 'all readers to be gone', (now) => now.readers.present === 0)
    return loaded
  }

  await round()
  const rest = (await agent.sample({ collect: true })).memory.private
  const loaded = await round()
  assert.ok(loaded.memory.private < rest + MOST_BYTES, `${loaded.memory.private} bytes under load, ${rest} at rest`)
  await agent.rate(PER_SECOND)
  await beHostile(path)
  using client = new ApiClient(address)
  assert.match((await client.call(FineGuidanceSensors.method.getVersion, {})).version, /^\d/)
  const after = await sampled(agent, 'no reader', (now) => now.readers.present === 0)
  assert.ok(after.blockedMs < 2000, `the event loop stood for ${after.blockedMs} ms`)
  await agent.rate(0)
  const end = (await agent.sample({ collect: true })).memory.private
  t.diagnostic(JSON.stringify({ rest, loaded: loaded.memory.private, end, blockedMs: after.blockedMs }))
  assert.ok(end < rest + SLACK_BYTES, `${end} bytes at the end, ${rest} after the first readers`)

  const { published, accounting, failure } = await agent.stop()
  const { accepted, delivered, dropped, imbalance } = accounting['archive'] ?? assert.fail()
  assert.deepEqual([accepted, delivered, dropped, imbalance, failure], [published, published, 0, 0, undefined])
  assert.equal(readFileSync(file).filter((byte) => byte === 10).length, published)
})

/** More connections than allowed, with nothing, garbage, or half of a frame; streams that are never read; streams that are reset at once. */
async function beHostile(path: string): Promise<void> {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const sent = ['', 'GET / HTTP/1.1\r\n\r\n'.repeat(1000), `${preface}\0\0`, '\xff'.repeat(1 << 20), preface]
  const sockets = Array.from({ length: 200 }, (_, i) => {
    const socket = connect(path).on('error', () => {})
    socket.write(sent[i % sent.length] ?? '')
    return socket
  })
  await setTimeout(1000)
  for (const socket of sockets) socket.destroy()
  await Promise.all([streams(path, 1000, false), streams(path, 5000, true)])
}

/** Requests the events in `count` streams of one connection, and reads none of them. */
async function streams(path: string, count: number, resets: boolean): Promise<void> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) }).on('error', () => {})
  const headers = {
    ':method': 'POST',
    ':path': '/tetragon.FineGuidanceSensors/GetEvents',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  for (let i = 0; i < count && !session.destroyed; i++) {
    const stream = session.request(headers).on('error', () => {})
    stream.end(Buffer.alloc(5))
    if (resets) stream.close()
    if (i % 100 === 99) await setTimeout(10)
  }
  await setTimeout(1000)
  session.destroy()
}
