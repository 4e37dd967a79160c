/** After a clean stop the loss records in a sink add up to the counters of all exporters. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { Event } from '../../../../exporters/contract/event.ts'
import { LostRanges } from '../../../../collector/delivery/lost-ranges.ts'
import { LossRecords } from '../../../../collector/telemetry/loss-records.ts'
import { FileExporter } from '../../../../exporters/sinks/file/exporter.ts'
import { createFilter } from '../../../../exporters/filtering/filter.ts'
import { TokenBucket } from '../../../../exporters/filtering/rate-limit.ts'
import { createJsonEncoder, FanOut, Sender } from '../../../../exporters/index.ts'
import type { SenderDeps } from '../../../../exporters/index.ts'
import { createOtlpEncoder } from '../../../../exporters/encoding/otlp/encode.ts'
import { systemClock } from '../../../../config/base/time/clock.ts'
import { seqOf } from '../../../support/otlp/decode.ts'
import type { LogRecord } from '../../../support/otlp/decode.ts'
import { FakeSink, OK, partialSuccess } from '../../../support/otlp/server.ts'
import { makeExec, makeLoss } from '../../exporters/support/events.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { encoderOptions, exporterFor } from '../../exporters/sinks/otlp/support.ts'
import { CHAIN } from '../../../support/exporter-config.ts'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'
import { fileConfig } from '../../exporters/support/file-rig.ts'

const EPOCH = '1795520000'
const ROUNDS = 12
const PER_ROUND = 300
const GRACE_MS = 10_000

/** An agent's delivery and loss records, without a kernel; its intervals pass as the test decides. */
class SmallAgent {
  readonly fanout: FanOut
  readonly #losses: LossRecords
  #seq = 0
  #nowMs = 0

  constructor(routes: ConstructorParameters<typeof FanOut>[0], ranges: LostRanges) {
    this.fanout = new FanOut(routes)
    const options = {
      losses: { report: () => {}, list: () => [] },
      exporters: this.fanout.senders,
      ranges,
      log: pino({ level: 'silent' }),
    }
    this.#losses = new LossRecords(options, 0)
  }

  async publish(count: number, slice = count): Promise<void> {
    for (let at = 0; at < count; at += slice) {
      const events = Array.from({ length: Math.min(slice, count - at) }, () => makeExec({ seq: this.#seq++ }))
      await this.fanout.publish(events)
    }
  }

  /** Lets ten seconds pass. */
  async interval(): Promise<void> {
    this.#losses.look((this.#nowMs += 10_000))
    await this.#report()
  }

  /** The stop of the agent once the ring is read. */
  async stop(): Promise<void> {
    await this.fanout.flush(GRACE_MS / 2)
    this.#losses.finish()
    await this.#report()
    await this.fanout.stop(GRACE_MS)
  }

  async #report(): Promise<void> {
    await this.#losses.publish((drafts) => {
      const records: Event[] = drafts.map((draft) => makeLoss({ ...draft, seq: this.#seq++ }))
      return this.fanout.publish(records)
    })
  }

  /** Events that exporters have dropped or sinks rejected. */
  get lost(): number {
    const sum = (counts: Readonly<Record<string, number>>): number =>
      Object.values(counts).reduce((total, count) => total + count, 0)
    return this.fanout.senders.reduce((total, sender) => {
      const { dropped, rejected } = sender.accounting()
      return total + sum(dropped) + sum(rejected)
    }, 0)
  }
}

function optionsFor(whenFull: ChainConfig['queue']['when_full']): ChainConfig {
  return {
    ...CHAIN,
    queue: { max_bytes: 64 << 20, max_events: 200, when_full: whenFull },
    batch: { max_events: 50, max_bytes: 1 << 20, max_wait: 60_000 },
    retry: { initial: 1, max: 1 },
  }
}

const isLoss = ({ eventName }: LogRecord): boolean => eventName.endsWith('events_lost')

function integer(record: LogRecord, key: string): number {
  const value = record.attributes.find((one) => one.key === key)?.value
  return value !== undefined && 'intValue' in value ? Number(value.intValue) : Number.NaN
}

/** Ten events at once, then one an hour. */
const narrow = (): TokenBucket => new TokenBucket({ events: 1, per: 3_600_000, burst: 10 }, systemClock)

const FILE = { max_size: 1 << 30, max_files: 1 }

for (const whenFull of ['drop_newest', 'drop_oldest'] as const) {
  test(`loss records: after a clean stop a file and an OTLP sink have all of them, with rate limits, filters and full queues (${whenFull})`, async () => {
    using folder = new Folder()
    const gate = { open: Promise.resolve() }
    const records: LogRecord[] = []
    await using sink = await FakeSink.start(async (request, call) => {
      await gate.open
      const got = request.logs().records
      // Every third request is refused, but none with loss records: no record reports their own loss.
      const refuses = call % 3 === 0 && !got.some(isLoss)
      if (!refuses) records.push(...got)
      return refuses ? { status: 200, body: partialSuccess(got.length, 'no') } : OK
    })
    const ranges = new LostRanges(EPOCH)
    const deps = (name: string, more: SenderDeps = {}): SenderDeps => ({
      onLost: (lost) => ranges.note(name, lost),
      ...more,
    })
    const json = createJsonEncoder({ nodeName: 'n' })
    const otlp = createOtlpEncoder(encoderOptions)
    const file = new FileExporter(fileConfig({ ...FILE, path: folder.at('events.jsonl') }))
    const agent = new SmallAgent(
      [
        {
          encoder: json,
          sender: new Sender('file', file, optionsFor('block'), deps('file', { rateLimit: narrow() })),
          filter: createFilter({ event_types: ['process_exec'], sample: 1 }),
        },
        {
          encoder: otlp,
          sender: new Sender(
            'otlp',
            exporterFor(sink, { request_timeout: 60_000 }),
            optionsFor(whenFull),
            deps('otlp'),
          ),
          filter: createFilter({ allow: [{ event_set: ['PROCESS_EXEC'] }] }),
        },
      ],
      ranges,
    )
    await agent.fanout.start()
    for (let round = 0; round < ROUNDS; round++) {
      // The sink does not answer in the middle rounds.
      const opening = Promise.withResolvers<void>()
      if (round === 3) gate.open = opening.promise
      await agent.publish(PER_ROUND, 50)
      await agent.interval()
      if (round !== 3) continue
      for (let more = 0; more < 100; more++) {
        await agent.publish(50, 50)
        await agent.interval()
      }
      opening.resolve()
      gate.open = Promise.resolve()
      const otlpSender = agent.fanout.senders[1]
      await until('the sink has caught up', () => (otlpSender?.accounting().queueEvents ?? 0) < 50)
    }
    await agent.publish(100, 50)
    await agent.stop()
    const ofFile = folder
      .read('events.jsonl')
      .split('\n')
      .filter((line) => line.includes('rate_limit_info'))
      .map((line) => Number(/"number_of_dropped_process_events":"?(\d+)/.exec(line)?.[1]))
    const reported = records.filter(isLoss)
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
    assert.ok(agent.lost > 5000, `${agent.lost} were lost`)
    assert.equal(sum(ofFile), agent.lost, 'in the file')
    assert.equal(sum(reported.map((record) => integer(record, 'ktrail.loss.count'))), agent.lost, 'in the OTLP sink')

    // If the range is as long as the count, all events in it were lost; else it contains others too.
    const arrived = new Set(records.map(seqOf))
    for (const record of reported) {
      const exporter = record.attributes.find(({ key }) => key === 'ktrail.loss.exporter')?.value
      if (JSON.stringify(exporter) !== '{"stringValue":"otlp"}') continue
      const [first, last] = ['ktrail.loss.first_seq', 'ktrail.loss.last_seq'].map((key) => integer(record, key))
      const count = integer(record, 'ktrail.loss.count')
      assert.ok(first !== undefined && last !== undefined && last - first + 1 >= count, `${first}-${last}: ${count}`)
      let missing = 0
      for (let seq = first; seq <= last; seq++) if (!arrived.has(seq)) missing++
      assert.ok(missing >= count, `${missing} of ${count} are missing in ${first}-${last}`)
    }
  })
}
