/** The bytes of both encodings equal those of OpenTelemetry's own serializers, for all events and options. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonLogsSerializer, ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import fc from 'fast-check'
import { Numbering } from '../../../../../exporters/contract/numbering.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import type { OtlpEncoderOptions } from '../../../../../exporters/encoding/otlp/encode.ts'
import { SCHEMA_URL, resourceAttributes, scopeOf } from '../../../../../exporters/encoding/otlp/resource.ts'
import { createOtlpJsonEncoder } from '../../../../../exporters/encoding/otlp/json-encode.ts'
import { createSdkEncoder, createSdkJsonEncoder, readables } from '../../../../../exporters/encoding/otlp/sdk.ts'
import { anyEvents } from './arbitrary.ts'
import { RESOURCE, encoderOptions, requestOf } from '../../sinks/otlp/support.ts'

/** Runs of each property, each time with another seed. */
const RUNS = 60
const observed = { sec: 1_795_528_989, nsec: 123_999_000 }
const base: OtlpEncoderOptions = { ...encoderOptions, observed: () => observed }
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const variants: ReadonlyArray<readonly [name: string, options: OtlpEncoderOptions]> = [
  ['defaults', base],
  ['a body of text', { ...base, body: 'text' }],
  ['no body', { ...base, body: 'none' }],
  ['labels and the event name as attributes', { ...base, arg_labels: true, event_name_attribute: true }],
  ['labels of pods', { ...base, pod_labels: ['app', 'run'] }],
  ['the command line as one text', { ...base, command_line: true }],
  [
    'severities of policies, tags and lifecycle',
    {
      ...base,
      severity: { lifecycle: 'debug', policies: { low: 'trace', high: 'fatal' }, tags: { timer: 'warn' } },
    },
  ],
  ['numbers of the exporter', { ...base, numbering: new Numbering('loki', 'run') }],
  [
    'a choice of attributes',
    { ...base, arg_labels: true, hasAttribute: (type, { name }) => (name.length + type.length) % 3 > 0 },
  ],
]

for (const [name, options] of variants) {
  for (const [encoding, own, sdk] of [
    ['otlp', createOtlpEncoder(options), createSdkEncoder(options)],
    ['otlp_json', createOtlpJsonEncoder(options), createSdkJsonEncoder(options)],
  ] as const) {
    test(`${encoding}: with ${name}, the bytes of any events are those of the SDK's serializer`, () => {
      fc.assert(
        fc.property(anyEvents, (events) => {
          const got = own.encode(events)
          const want = sdk.encode(events)
          assert.equal(hex(got.bytes), hex(want.bytes))
          assert.deepEqual(got.ends, want.ends)
          assert.deepEqual([got.count, got.firstSeq, got.encoding], [want.count, want.firstSeq, encoding])
        }),
        { numRuns: RUNS },
      )
    })
  }

  test(`otlp: with ${name}, a whole request of any events has the bytes of the SDK's serializer, in protobuf and in JSON`, () => {
    const sdkResource = resourceFromAttributes(resourceAttributes(RESOURCE), { schemaUrl: SCHEMA_URL })
    const scope = { ...scopeOf(RESOURCE), schemaUrl: SCHEMA_URL }
    fc.assert(
      fc.property(
        anyEvents.filter((events) => events.length > 0),
        (events) => {
          const records = readables(events, options)
          const want = records.map((each) => ({ ...each, resource: sdkResource, instrumentationScope: scope }))
          const protobuf = ProtobufLogsSerializer.serializeRequest(want) ?? new Uint8Array(0)
          assert.equal(hex(requestOf(createOtlpEncoder(options).encode(events), RESOURCE)), hex(protobuf))
          const printed = Buffer.from(JsonLogsSerializer.serializeRequest(want) ?? new Uint8Array(0)).toString()
          // The SDK puts the schema URL of ResourceLogs into Resource too, which has no such field.
          const valid = printed.replace(`,"schemaUrl":"${SCHEMA_URL}"},"scopeLogs"`, '},"scopeLogs"')
          assert.equal(requestOf(createOtlpJsonEncoder(options).encode(events), RESOURCE).toString(), valid)
        },
      ),
      { numRuns: RUNS },
    )
  })
}
