import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { About, Described } from '../../../../../exporters/contract/described.ts'
import { Numbering } from '../../../../../exporters/contract/numbering.ts'
import { NOBODY, RecordBatchWriter } from '../../../../../exporters/sinks/kafka/client/record-batch.ts'
import { Fates } from '../../../../../exporters/sinks/kafka/fates.ts'
import { RecordHeaders } from '../../../../../exporters/sinks/kafka/headers.ts'
import { layOut, PlacedRecords } from '../../../../../exporters/sinks/kafka/partition-batches.ts'
import { Keys } from '../../../../../exporters/sinks/kafka/partitions.ts'
import { batch, lines } from '../../support/lines.ts'

const CONTEXT = { nodeName: 'node a', epoch: 'e' }
const ABOUT: About = { type: 'process_exit', policy: '' }
const EVENT = { seq: 3, number: 7, partitionSeq: 2, timestampMs: 0, about: ABOUT, epoch: undefined }

test('kafka headers: CloudEvents in binary mode, and the plain ones', () => {
  const headers = new RecordHeaders({ format: 'cloudevents', cluster_name: 'prod' }, CONTEXT)
  assert.deepEqual(
    {
      ...headers.common('process_exit'),
      ...headers.own({ ...EVENT, seq: 12, timestampMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6) }),
    },
    {
      'content-type': 'application/json',
      'event-type': 'process_exit',
      node: 'node a',
      schema: '1',
      ce_specversion: '1.0',
      ce_source: '//prod/node%20a',
      ce_type: 'io.ktrail.process_exit.v1',
      seq: 'e-12',
      ce_id: 'e-12',
      ce_time: '2026-01-02T03:04:05.006Z',
    },
  )
})

test('kafka headers: events of one type share one object, other types do not', () => {
  const headers = new RecordHeaders({ format: 'json', cluster_name: 'prod' }, CONTEXT)
  assert.equal(headers.common('process_exec'), headers.common('process_exec'))
  assert.notEqual(headers.common('process_exec'), headers.common('process_exit'))
  assert.deepEqual(headers.own(EVENT), { seq: 'e-3' })
})

test('kafka headers: a record makes them when it is written, and the same ones again', () => {
  let made = 0
  const headers = new (class extends RecordHeaders {
    override own(of: Parameters<RecordHeaders['own']>[0]): ReturnType<RecordHeaders['own']> {
      made++
      return super.own(of)
    }
  })({ format: 'json', cluster_name: '' }, CONTEXT)
  const keys = new Keys('node_name', 'n')
  const layout = { keys, topicOf: () => 't', byNamespace: false, headers, endBytes: 1, numbers: new Map() }
  const part = lines(3, 100, 10)
  const [laidOut] = layOut(batch(part), new Fates(), layout, new Map([['t', 1]]), 0, 0)
  const records = laidOut?.records
  assert.ok(records !== undefined)
  assert.deepEqual([records.length, made], [100, 0])
  for (const _ of [1, 2]) {
    assert.deepEqual(records.at(1)?.own, { seq: 'e-4' })
    assert.deepEqual(records.at(1)?.value, Buffer.from(part.bytes.subarray(part.ends[0], (part.ends[1] ?? 0) - 1)))
  }
})

test('kafka headers: a record whose headers are numbers has the bytes of one with texts', async () => {
  const codec = { id: 0, compress: undefined }
  for (const numbering of [undefined, new Numbering('bus é', '1795520000-1')]) {
    const headers = new RecordHeaders({ format: 'json', cluster_name: '' }, { ...CONTEXT, numbering })
    for (const seq of [0, 9, 10, 4_294_967_296, 10 ** 15 - 1, 10 ** 15, Number.MAX_SAFE_INTEGER]) {
      const [times, seqs] = [new Float64Array(1), Float64Array.of(seq)]
      const part: Described = { ...lines(0, 1), times, seqs, abouts: [ABOUT], number: 7 }
      const records = new PlacedRecords({ headers, endBytes: 1 }, 12, 0)
      records.add(part, 0, null)
      const record = records.at(0)
      assert.ok(record?.numbers !== undefined)
      const { key, value, common, own, timestampMs } = record
      const ofExporter = { exporter_seq: 'bus é-7', partition_seq: '1795520000-1-12' }
      assert.deepEqual(own, { seq: `e-${seq}`, ...(numbering && ofExporter) })
      const writer = new RecordBatchWriter()
      const want = await writer.write([{ key, value, common, own, timestampMs }], codec, NOBODY)
      assert.deepEqual(await writer.write(records, codec, NOBODY), want)
    }
  }
})

test('kafka headers: the size of a record is not smaller than its bytes in a batch, with all kinds of headers', async () => {
  const numbering = new Numbering('bus', '1795520000-1')
  const run = { phase: 'start', heartbeatMs: 60_000, previous: { bus: 'é'.repeat(40) }, filtered: [] } as const
  const loss = {
    stage: 'exporter',
    exporter: 'bus',
    reason: 'expired',
    count: 1,
    numbers: { first: 1, last: 2 },
  } as const
  const abouts: About[] = [
    ABOUT,
    { type: 'process_kprobe', policy: 'p' },
    { type: 'agent_run', policy: '', run },
    { type: 'events_lost', policy: '', loss },
  ]
  const codec = { id: 0, compress: undefined }
  for (const format of ['json', 'cloudevents'] as const) {
    const headers = new RecordHeaders({ format, cluster_name: 'prod' }, { ...CONTEXT, numbering })
    for (const [about, epoch] of abouts.flatMap(
      (each) =>
        [
          [each, undefined],
          [each, 'x'.repeat(90)],
        ] as const,
    )) {
      const times = new Float64Array(1).fill(1_795_520_000_000)
      const part: Described = {
        ...lines(Number.MAX_SAFE_INTEGER, 1),
        number: 2 ** 52,
        times,
        seqs: times,
        abouts: [about],
      }
      const records = new PlacedRecords({ headers, endBytes: 1 }, 2 ** 52, 0)
      records.add(epoch === undefined ? part : { ...part, epoch }, 0, Buffer.from('key'))
      const { length } = await new RecordBatchWriter().write(records, codec, NOBODY)
      const size = records.sizeAt(0)
      assert.ok(size >= length && size < length + 250, `${about.type}: ${size} for ${length} bytes`)
    }
  }
})

test('kafka headers: a loss record has place and reason, and the exporter if it was one', () => {
  const plain = new RecordHeaders({ format: 'json', cluster_name: 'prod' }, CONTEXT)
  const lost = (loss: About['loss']): typeof EVENT => ({
    ...EVENT,
    about: { type: 'events_lost', policy: '', ...(loss && { loss }) },
  })
  const kernel = lost({ stage: 'kernel', exporter: '', reason: 'join_full', count: 4 })
  const exporter = lost({
    stage: 'exporter',
    exporter: 'loki',
    reason: 'expired',
    count: 2,
    numbers: { first: 5, last: 6 },
  })
  assert.deepEqual(plain.own(kernel), {
    seq: 'e-3',
    loss_stage: 'kernel',
    loss_reason: 'join_full',
    loss_count: '4',
  })
  const want = {
    loss_stage: 'exporter',
    loss_reason: 'expired',
    loss_exporter: 'loki',
    loss_count: '2',
    loss_first: '5',
    loss_last: '6',
  }
  assert.deepEqual(plain.own(exporter), { seq: 'e-3', ...want })
  const cloud = new RecordHeaders({ format: 'cloudevents', cluster_name: 'prod' }, CONTEXT).own(exporter)
  assert.deepEqual(cloud, { seq: 'e-3', ce_id: 'e-3', ce_time: '1970-01-01T00:00:00.000Z', ...want })
})

test('kafka headers: numbers of the exporter and of the partition, and the content of a record about the run', () => {
  const numbering = new Numbering('bus', 'e2')
  const headers = new RecordHeaders({ format: 'json', cluster_name: '' }, { ...CONTEXT, numbering })
  assert.deepEqual(headers.own(EVENT), { seq: 'e-3', exporter_seq: 'bus-7', partition_seq: 'e2-2' })
  const previous = { bus: 'e1', other: 'e0' }
  const run = { phase: 'heartbeat', heartbeatMs: 60_000, previous, filtered: ['bus'], moved: { bus: 4 } } as const
  assert.deepEqual(headers.own({ ...EVENT, about: { type: 'agent_run', policy: '', run } }), {
    seq: 'e-3',
    exporter_seq: 'bus-7',
    partition_seq: 'e2-2',
    run_phase: 'heartbeat',
    run_heartbeat_ms: '60000',
    run_previous: 'e1',
    run_events: 'filtered',
    run_moved: '4',
  })
})

test('kafka headers: the change and its author', () => {
  const change = { what: 'policy_replaced', by: 'cluster', names: ['shop/a', 'b'], count: 9 } as const
  const headers = new RecordHeaders({ format: 'json', cluster_name: '' }, CONTEXT)
  const about = {
    type: 'agent_change',
    policy: '',
    change: { ...change, mode: 'monitor', modeBefore: 'enforce' },
  } as const
  assert.deepEqual(headers.own({ ...EVENT, about }), {
    seq: 'e-3',
    change_what: 'policy_replaced',
    change_by: 'cluster',
    change_names: 'shop/a, b',
    change_count: '9',
    change_mode: 'monitor',
    change_mode_before: 'enforce',
  })
})
