import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecordHeaders } from '../../../../exporters/kafka/headers.ts'

const WANTED = { nodeName: 'node a', clusterName: 'prod', epoch: 'e', schema: 2 }

test('kafka headers: CloudEvents, binary mode, beside the plain ones', () => {
  const headers = new RecordHeaders({ ...WANTED, format: 'cloudevents' })
  assert.deepEqual(
    { ...headers.common('process_exit'), ...headers.own(12, Date.UTC(2026, 0, 2, 3, 4, 5, 6)) },
    {
      'content-type': 'application/json',
      'event-type': 'process_exit',
      node: 'node a',
      schema: '2',
      ce_specversion: '1.0',
      ce_source: '//prod/node%20a',
      ce_type: 'io.ktrail.process_exit.v2',
      seq: 'e-12',
      ce_id: 'e-12',
      ce_time: '2026-01-02T03:04:05.006Z',
    },
  )
})

test('kafka headers: those of one type are one object, those of another are not', () => {
  const headers = new RecordHeaders({ ...WANTED, format: 'json' })
  assert.equal(headers.common('process_exec'), headers.common('process_exec'))
  assert.notEqual(headers.common('process_exec'), headers.common('process_exit'))
  assert.deepEqual(headers.own(3, 0), { seq: 'e-3' })
})
