/** Events as messages of the API, against the JSON lines of the same events. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { ResponseEncoder } from '../../../../collector/api/events/encode.ts'
import { jsonLine } from '../../../../collector/api/events/json.ts'
import { GetEventsResponseSchema } from '../../../../collector/proto/tetragon/events_pb.js'
import type { Event } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/index.ts'
import { makeExec, makeLoss, makeParent, makeProcess } from '../../exporters/support/events.ts'
import { goldenEvents } from '../../exporters/support/golden-events.ts'

const NODE = 'node-1'

const lineOf = (event: Event, nodeName = NODE): string =>
  Buffer.from(createJsonEncoder({ nodeName }).encode([event]).bytes).toString()

const throughApi = (encoder: ResponseEncoder, event: Event): string =>
  `${jsonLine(fromBinary(GetEventsResponseSchema, encoder.encode(event)))}\n`

test('api encode: every golden event, sent as a message and printed, is its JSON line byte by byte', () => {
  const encoder = new ResponseEncoder(NODE)
  for (const event of goldenEvents()) {
    // Twice: the second time the process comes from the cache.
    for (let i = 0; i < 2; i++) assert.equal(throughApi(encoder, event), lineOf(event))
  }
})

test('api encode: a forked parent, an unknown process, no node name, half a surrogate pair', () => {
  const unknown = { execId: '', uid: undefined, auid: undefined, binary: '', arguments: '', cwd: '', docker: '' }
  const events = [
    makeExec({ parent: makeParent({ forked: true }) }),
    makeExec({
      process: makeProcess({ ...unknown, parentExecId: '', flags: 'unknown' }),
      parent: undefined,
      refcnt: 0,
    }),
    makeExec({ process: makeProcess({ arguments: 'a\ud800b' }) }),
  ]
  for (const event of events) assert.equal(throughApi(new ResponseEncoder(''), event), lineOf(event, ''))
})

test('api encode: events lost by a client are reported as Tetragon reports them', () => {
  const event = makeLoss({ count: 5_000_000_000 })
  assert.deepEqual(new ResponseEncoder(NODE).lost(event.count, event.time), new ResponseEncoder(NODE).encode(event))
})
