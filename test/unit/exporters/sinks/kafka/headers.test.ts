import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecordHeaders } from '../../../../../exporters/sinks/kafka/headers.ts'

const CONTEXT = { nodeName: 'node a', epoch: 'e' }

test('kafka headers: CloudEvents in binary mode, and the plain ones', () => {
  const headers = new RecordHeaders({ format: 'cloudevents', cluster_name: 'prod' }, CONTEXT)
  assert.deepEqual(
    { ...headers.common('process_exit'), ...headers.own(12, Date.UTC(2026, 0, 2, 3, 4, 5, 6)) },
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
  assert.deepEqual(headers.own(3, 0), { seq: 'e-3' })
})

test('kafka headers: a loss record has place and reason, and the exporter if it was one', () => {
  const plain = new RecordHeaders({ format: 'json', cluster_name: 'prod' }, CONTEXT)
  const kernel = { stage: 'kernel', exporter: '', reason: 'join_full' } as const
  const exporter = { stage: 'exporter', exporter: 'loki', reason: 'expired' } as const
  assert.deepEqual(plain.own(3, 0, kernel), { seq: 'e-3', loss_stage: 'kernel', loss_reason: 'join_full' })
  const want = { loss_stage: 'exporter', loss_reason: 'expired', loss_exporter: 'loki' }
  assert.deepEqual(plain.own(3, 0, exporter), { seq: 'e-3', ...want })
  const cloud = new RecordHeaders({ format: 'cloudevents', cluster_name: 'prod' }, CONTEXT).own(3, 0, exporter)
  assert.deepEqual(cloud, { seq: 'e-3', ce_id: 'e-3', ce_time: '1970-01-01T00:00:00.000Z', ...want })
})
