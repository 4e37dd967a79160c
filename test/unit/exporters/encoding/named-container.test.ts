/** A container as its runtime describes it, in every encoding: only if the format has room beyond Tetragon's records. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBinary, fromJsonString } from '@bufbuild/protobuf'
import { ResponseEncoder } from '../../../../collector/api/events/encode.ts'
import { jsonLine } from '../../../../collector/api/events/json.ts'
import { toEvent } from '../../../../collector/api/events/to-event.ts'
import { GetEventsResponseSchema } from '../../../../collector/proto/tetragon/events_pb.js'
import type { Event } from '../../../../exporters/contract/event.ts'
import { attributeTest, filterAttributes } from '../../../../exporters/encoding/otlp/attribute-filter.ts'
import { attributes } from '../../../../exporters/encoding/otlp/mapping.ts'
import { EncoderPool, Numberings, createCompactEncoder, createJsonEncoder } from '../../../../exporters/index.ts'
import { makeExec, makeNamedContainer, makePod, makeProcess } from '../support/events.ts'

const container = makeNamedContainer()
const docker = container.id.slice(0, 31)
const event = makeExec({ process: makeProcess({ docker, container }) })
const ENVELOPE = {
  id: container.id,
  name: 'web',
  image: container.image,
  image_id: container.imageId,
  labels: container.labels,
}

const compact = (of: Event): string =>
  Buffer.from(createCompactEncoder({ nodeName: 'n' }).encode([of]).bytes).toString()
const line = (of: Event): string => Buffer.from(createJsonEncoder({ nodeName: 'n' }).encode([of]).bytes).toString()
const enveloped = (of: Event): string =>
  Buffer.from(
    new EncoderPool('n')
      .linesFor({ numbering: new Numberings('run').of('a'), envelope: true, extended: false })
      .encode([of]).bytes,
  ).toString()

function attributesOf(of: Event, exclude?: string): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  const put = ({ name }: { readonly name: string }, value: unknown): void => void (out[name] = value)
  const sink = { text: put, integer: put, flag: put, list: put }
  const fields = { fields: exclude ?? '', action: 'EXCLUDE', invert_event_set: false } as const
  const options = { arg_labels: false, pod_labels: [], command_line: false, file_details: false }
  attributes(of, options, exclude === undefined ? sink : filterAttributes(sink, of.type, attributeTest([fields])))
  return out
}

test('named container: compact lines have its name in place of a pod or node', () => {
  assert.match(compact(event), /^🚀 process web \/bin\/vi /)
  const hostile = makeExec({ process: makeProcess({ docker, container: makeNamedContainer({ name: 'a\nb' }) }) })
  assert.match(compact(hostile), /^🚀 process "a\\nb" \/bin\/vi /)
  const both = makeExec({ process: makeProcess({ docker, container, pod: makePod() }) })
  assert.match(compact(both), /^🚀 process default\/file-access /)
})

test('named container: JSON lines are Tetragon’s, and the envelope has it', () => {
  assert.equal(line(event), line(makeExec({ process: makeProcess({ docker }) })))
  const { ktrail, ...record } = JSON.parse(enveloped(event))
  assert.deepEqual(ktrail, { seq: `run-${event.seq}`, exporter_seq: 'a-0', container: ENVELOPE })
  assert.deepEqual(record, JSON.parse(line(event)))
  const bare = makeNamedContainer({ image: '', imageId: '', labels: {} })
  const second = makeExec({ process: makeProcess({ docker, container: bare }) })
  assert.deepEqual(JSON.parse(enveloped(second)).ktrail.container, { id: container.id, name: 'web' })
})

test('named container: OTLP attributes, which go with process.docker', () => {
  const all = attributesOf(event)
  const of = (found: Record<string, unknown>): object =>
    Object.fromEntries(Object.entries(found).filter(([key]) => key.startsWith('container.')))
  assert.deepEqual(of(all), {
    'container.id': container.id,
    'container.name': 'web',
    'container.image.id': container.imageId,
    'container.image.name': 'registry.example:5000/library/nginx',
    'container.image.tags': ['1.27'],
    'container.label.com.docker.compose.service': 'shop',
  })
  assert.deepEqual(of(attributesOf(event, 'process.docker,process.pod')), {})
})

test('named container: the API’s events have it beside the record, and its compact lines are those of the agent', () => {
  const encoder = new ResponseEncoder('n')
  for (let i = 0; i < 2; i++) {
    const message = fromBinary(GetEventsResponseSchema, encoder.encode(event))
    const { ktrail, ...record } = JSON.parse(jsonLine(message))
    assert.deepEqual(ktrail, { container: ENVELOPE })
    assert.deepEqual(record, JSON.parse(line(event)))
    assert.equal(compact(toEvent(message) ?? assert.fail()), compact(event))
  }
})

test('named container: a JSON line with an envelope has the same compact line', () => {
  const message = fromJsonString(GetEventsResponseSchema, enveloped(event), { ignoreUnknownFields: true })
  assert.equal(compact(toEvent(message) ?? assert.fail()), compact(event))
})
