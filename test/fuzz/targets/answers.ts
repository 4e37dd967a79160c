/** Answers of sinks. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { MAX_ANSWER_BYTES } from '../../../config/base/answers.ts'
import { boundAnswers } from '../../../exporters/sinks/kafka/client/bounded-answers.ts'
import { guardKafkajs } from '../../../exporters/sinks/kafka/client/guard.ts'
import { insideOf } from '../../../exporters/sinks/kafka/client/internals.ts'
import { verdictOf } from '../../../exporters/sinks/otlp/outcome.ts'
import type { Target } from '../target.ts'

const STATUSES = [200, 202, 204, 206, 260, 302, 400, 401, 413, 415, 422, 429, 500, 503]
const RECORDS = 100
/** Much more than a log line has; texts of sinks are cut. */
const MOST_CHARS = 4 << 10

/** The first byte: the status of the answer. */
const answer = (status: number, body: string): Buffer =>
  Buffer.concat([Buffer.from([STATUSES.indexOf(status)]), Buffer.from(body, 'latin1')])

export const otlp: Target = {
  name: 'otlp',
  text: false,
  seeds: () => [
    answer(200, ''),
    answer(200, '{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}'),
    // ExportLogsServiceResponse with a partial success.
    answer(200, '\x0a\x06\x08\x03\x12\x02ab'),
    answer(
      400,
      '{"code":3,"message":"entry for stream is too old, oldest acceptable timestamp is: 2026-11-24T14:03:09Z"}',
    ),
    answer(400, '\x08\x03\x12\x40timestamp too old: x, oldest acceptable timestamp is: 2026-11-24T14:03:09Z'),
    answer(400, 'max entry size exceeded, total ignored: 5 out of 100'),
    answer(429, 'per stream rate limit, total ignored: 5 out of 100'),
    answer(500, '<html>'),
  ],
  words: [
    '{"partialSuccess":',
    'rejectedLogRecords',
    '"message":"',
    'total ignored: 7 out of 9',
    'oldest acceptable timestamp is: ',
    '\x12',
    '\x0a',
    '\xff\xff\xff\xff\x0f',
  ],
  covers: /^exporters\/(?:sinks\/otlp|encoding\/otlp)\//,
  run(input) {
    const [status = 0] = input
    const body = input.subarray(1)
    const reply = {
      status: STATUSES[status % STATUSES.length] ?? 200,
      retryAfter: body.toString('latin1', 0, 12),
      body,
    }
    const verdict = verdictOf(reply, { records: RECORDS, endpoint: 'http://a', compression: 'gzip' }, 0)
    const text = 'error' in verdict ? verdict.error.message : 'warning' in verdict ? verdict.warning : ''
    if (text.length > MOST_CHARS) throw new Error(`a message of ${text.length} characters`)
    if (verdict.is === 'taken' && !(verdict.rejected >= 0)) throw new Error(`${verdict.rejected} rejected records`)
    if (verdict.is === 'again' && verdict.afterMs !== undefined && !(verdict.afterMs >= 0))
      throw new Error(`a retry after ${verdict.afterMs} ms`)
  },
}

interface Response {
  decode(raw: Buffer): Promise<unknown>
  parse(data: unknown): Promise<unknown>
}

/** As the exporter uses them, with bounds. */
const responses = (): readonly Response[] => {
  guardKafkajs()
  return ['metadata/v6', 'produce/v7', 'apiVersions/v2', 'saslAuthenticate/v1'].map((name) =>
    insideOf<Response>(`protocol/requests/${name}/response`, 'decode'),
  )
}

/** Bytes of which chunks consist. */
const CHUNK = 5

export const kafka: Target = {
  name: 'kafka',
  text: false,
  // The number of the response, the length of the answer, and the answer behind the number of its request.
  seeds: () => [
    Buffer.from('000000001e00000001000000000000000000000000000000000000000000000000', 'hex'),
    Buffer.from('010000001400000001000174000000010000000000000000000000000000000000000000', 'hex'),
    Buffer.from('020000000e00000000000100000000000900000000', 'hex'),
    Buffer.from('030000001000000000ffff00000000000000000000000a', 'hex'),
  ],
  words: ['\x7f\xff\xff\xff', '\xff\xff\xff\xff', '\x00\x00\x00\x01', '\x00\x01t'],
  covers: /^exporters\/sinks\/kafka\/|^node_modules\/kafkajs\/src\/protocol\//,
  async run(input) {
    const [which = 0] = input
    const bytes = input.subarray(1)
    const state = { refused: false }
    const socket = Object.assign(new EventEmitter(), { destroy: () => void (state.refused = true) })
    boundAnswers(socket as unknown as Socket)
    for (let at = 0; at < bytes.length && !state.refused; at += CHUNK)
      socket.emit('data', bytes.subarray(at, at + CHUNK))
    const length = bytes.length >= 4 ? bytes.readUInt32BE(0) : 0
    if (length > MAX_ANSWER_BYTES && !state.refused) throw new Error(`an answer of ${length} bytes was not refused`)
    if (state.refused || length > bytes.length - 4) return
    const all = responses()
    const response = all[which % all.length]
    // An invalid answer is an error of the request.
    await response
      ?.decode(Buffer.from(bytes.subarray(4, 4 + length)))
      .then((data) => response.parse(data))
      .catch((error: unknown) => {
        if (!(error instanceof Error)) throw error
      })
  },
}
