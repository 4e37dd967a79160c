/** Requests of clients: of the gRPC API, and of the HTTP pages. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { ApiError } from '../../../collector/api/errors.ts'
import { filterOf } from '../../../collector/api/events/filters.ts'
import { parsed } from '../../../collector/api/services/policies.ts'
import { GetEventsRequestSchema } from '../../../collector/proto/tetragon/events_pb.js'
import { AddTracingPolicyRequestSchema } from '../../../collector/proto/tetragon/sensors_pb.js'
import { accessOf } from '../../../collector/telemetry/access.ts'
import { HEAD_BYTES, parseHead } from '../../../collector/telemetry/http-head.ts'
import { parseLiveFilter } from '../../../collector/telemetry/live/live-filter.ts'
import { ExportError, createFilter } from '../../../exporters/index.ts'
import { makeExec, makeKprobe } from '../../unit/exporters/support/events.ts'
import type { Target } from '../target.ts'

const EVENTS = [makeExec(), makeKprobe()]

/** The first byte of an input: the message that the rest is. */
const [GET_EVENTS, ADD_POLICY] = [0, 1]
const marked = (kind: number, bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([kind]), bytes])

export const grpc: Target = {
  name: 'grpc',
  text: false,
  seeds: () => [
    marked(GET_EVENTS, toBinary(GetEventsRequestSchema, create(GetEventsRequestSchema, {}))),
    marked(
      GET_EVENTS,
      toBinary(
        GetEventsRequestSchema,
        create(GetEventsRequestSchema, {
          allowList: [
            { binaryRegex: ['^/bin/', '(a|b)+$'], namespace: ['', 'a'], pid: [1], eventSet: [1, 9] },
            {
              policyNames: ['a'],
              podRegex: ['a'],
              argumentsRegex: ['.*'],
              labels: ['a=b,!c'],
              parentBinaryRegex: ['x'],
            },
          ],
          denyList: [{ healthCheck: false, containerId: ['a'], inInitTree: true, capabilities: {} }],
          fieldFilters: [{ fields: { paths: ['process.binary'] } }],
          aggregationOptions: {},
        }),
      ),
    ),
    marked(
      ADD_POLICY,
      toBinary(
        AddTracingPolicyRequestSchema,
        create(AddTracingPolicyRequestSchema, {
          yaml: 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: a }\nspec: { kprobes: [{ call: fd_install }] }\n',
        }),
      ),
    ),
  ],
  words: ['\x0a', '\x12', '\x1a', '\xff\xff\xff\xff\x0f', '(((((', 'a{1000}', '[^', '.*.*.*', '\\p{L}'],
  covers: /^(?:collector\/api\/|exporters\/filtering\/)/,
  run(input) {
    const [kind = 0] = input
    const bytes = Uint8Array.from(input.subarray(1))
    const message = kind % 2 === GET_EVENTS ? GetEventsRequestSchema : AddTracingPolicyRequestSchema
    let request
    try {
      request = fromBinary(message, bytes)
    } catch {
      // grpc-js answers the client with it.
      return
    }
    try {
      if (request.$typeName === 'tetragon.AddTracingPolicyRequest') return void parsed(request.yaml, 'api')
      const filter = createFilter(filterOf(request) ?? {})
      for (const event of EVENTS) filter.accepts(event)
    } catch (error) {
      // The API answers both with INVALID_ARGUMENT (collector/api/events/readers.ts).
      if (!(error instanceof ApiError || error instanceof ExportError)) throw error
    }
  },
}

const TOKEN = '8f14e45fceea167a5a36dedd4bea2543'
const ACCESS = [
  accessOf({ address: { host: '127.0.0.1', port: 1 }, token: undefined, own: { token: TOKEN, file: '/a' } }),
  accessOf({ address: { host: '0.0.0.0', port: 1 }, token: TOKEN, own: undefined }),
]

export const http: Target = {
  name: 'http',
  text: true,
  seeds: () =>
    [
      'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET http://a/events?type=process_exec&policy=a*&text=b HTTP/1.0\nHost: 127.0.0.1:2112\nAuthorization: Bearer x\n\n',
      'HEAD /metrics HTTP/1.1\r\nHost: [::1]:2112\r\nContent-Length: 0\r\nOrigin: null\r\nSec-Fetch-Site: cross-site\r\n\r\n',
      'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ].map((text) => Buffer.from(text)),
  words: [
    '\r\n',
    '\n\n',
    'Host: ',
    'Authorization: Bearer ',
    'Origin: ',
    'Sec-Fetch-Site: ',
    '?',
    '%00',
    '%ff',
    'type=',
    'namespace=',
    '&',
    '*',
    ' HTTP/1.1',
  ],
  covers: /^collector\/telemetry\//,
  run(input) {
    const text = input.toString('latin1')
    const head = parseHead(text)
    if (head === undefined) {
      if (text.length > HEAD_BYTES) throw new Error(`waits for more than ${text.length} bytes`)
      return
    }
    if ('status' in head) {
      if (head.status < 400 || head.status > 499) throw new Error(`refused with ${head.status}`)
      return
    }
    for (const { events } of ACCESS) {
      if (events(head) === undefined && !text.includes(TOKEN)) throw new Error('live events without the token')
    }
    const filter = parseLiveFilter(head.query)
    if (typeof filter === 'string') return
    for (const event of EVENTS) filter.accepts(event)
  },
}
