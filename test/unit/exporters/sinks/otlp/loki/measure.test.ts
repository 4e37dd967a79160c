import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../../../../exporters/contract/event.ts'
import { createOtlpEncoder } from '../../../../../../exporters/encoding/otlp/encode.ts'
import { createOtlpJsonEncoder } from '../../../../../../exporters/encoding/otlp/json-encode.ts'
import { Numbering } from '../../../../../../exporters/contract/numbering.ts'
import { resourceAttributes } from '../../../../../../exporters/encoding/otlp/resource.ts'
import { copiedAtMost } from '../../../../../../exporters/sinks/otlp/loki/limits.ts'
import { Measure } from '../../../../../../exporters/sinks/otlp/loki/measure.ts'
import { latestBound } from '../../../../../../exporters/sinks/otlp/outcome.ts'
import { requestFrom } from '../../../../../support/otlp/decode.ts'
import { lineOf, metadataOf, sizeOf } from '../../../../../support/otlp/loki.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makeProcess,
  text,
} from '../../../support/events.ts'
import { RESOURCE, encoderOptions, requestOf } from '../support.ts'

const EVENTS: readonly Event[] = [
  makeKprobe({ returned: int(-13) }),
  makeExec(),
  makeExit(),
  makeLoss(),
  makeKprobe({
    hook: makeHook({ labels: ['', 'a', 'b', 'c', 'd'] }),
    args: [file('/etc/ünïcode/🚀'), int(-1), int(-2_147_483_648), int(0), text('<&>"\\\n\u0001')],
  }),
  makeKprobe({ hook: makeHook({ tags: ['<&>', '"quoted"', 'back\\slash', 'tab\tnewline\n\u0001', ''] }) }),
  makeKprobe({ process: makeProcess({ arguments: '\u0001"<é'.repeat(500) }) }),
]
const options = { ...encoderOptions, arg_labels: true }
for (const encoding of ['otlp', 'otlp_json'] as const) {
  test(`measure: line, entries and bytes of a record in ${encoding} are those that Loki counts`, () => {
    const encoder = encoding === 'otlp' ? createOtlpEncoder(options) : createOtlpJsonEncoder(options)
    const part = encoder.encode(EVENTS)
    const type = encoding === 'otlp' ? 'application/x-protobuf' : 'application/json'
    const { records } = requestFrom(requestOf(part, RESOURCE), type, '')
    const measure = new Measure()
    for (const [i, record] of records.entries()) {
      const metadata = metadataOf(record)
      assert.deepEqual(
        { ...measure.at(part, i) },
        {
          timeMs: Number(record.timeUnixNano) / 1e6,
          lineBytes: Buffer.byteLength(lineOf(record)),
          metadataBytes: sizeOf(metadata),
          metadataEntries: metadata.length,
        },
        EVENTS[i]?.type,
      )
    }
    assert.equal(records.length, EVENTS.length)
  })
}

test('measure: with the body of text, Loki stores a record of an ordinary access in at most 1.6 kB', () => {
  const epoch = 'mheoyk1x0a1b2c'
  const numbering = new Numbering('loki', epoch)
  const encoder = createOtlpEncoder({ ...encoderOptions, body: 'text', epoch, numbering })
  const process = makeProcess({
    binary: '/usr/lib/apt/apt-helper',
    arguments: 'wait-online --timeout 30 /etc/apt/apt.conf',
    argv: 'apt-helper',
    cwd: '/home/someone/work',
  })
  const part = encoder.encode([makeKprobe({ process, seq: 1_000_000 }), makeExec({ process, seq: 1_000_001 })])
  const measure = new Measure()
  for (let i = 0; i < part.count; i++) {
    const { lineBytes, metadataBytes } = measure.at(part, i)
    const bytes = lineBytes + metadataBytes + copiedAtMost(resourceAttributes(RESOURCE)).bytes
    assert.ok(bytes <= 1600, `${bytes} bytes`)
  }
})

const AT = Date.UTC(2026, 7, 1, 10, 0, 0)
const STREAM = '\'{service_name="ktrail"}\''
const TEXTS: ReadonlyArray<readonly [text: string, oldestMs: number | undefined]> = [
  ['no, thank you', undefined],
  ["Max entry size '1200' bytes exceeded for stream x while adding an entry with length '1300' bytes", undefined],
  [
    `entry for stream ${STREAM} has timestamp too old: 2026-08-01T08:00:00Z, oldest acceptable timestamp is: 2026-08-01T10:00:00Z`,
    AT,
  ],
  [
    `entry for stream ${STREAM} has timestamp too old: 2026-08-01T10:00:00+02:00, oldest acceptable timestamp is: 2026-08-01T12:00:00+02:00`,
    AT,
  ],
  [
    `entry for stream ${STREAM} has timestamp too old: 2026-08-01T02:00:00-07:00, oldest acceptable timestamp is: 2026-08-01T03:00:00-07:00`,
    AT,
  ],
  [
    `2 errors like: entry for stream ${STREAM} has timestamp too old: 2026-08-01T08:00:00Z, oldest acceptable timestamp is: 2026-08-01T10:00:00Z; ` +
      `1 errors like: entry for stream ${STREAM} has timestamp too old: 2026-08-01T08:00:00Z, oldest acceptable timestamp is: 2026-08-01T09:59:59Z`,
    AT,
  ],
  [
    "entry with timestamp x ignored, reason: 'entry too far behind, entry timestamp is: 2026-08-01T08:00:00Z, oldest acceptable timestamp is: 2026-08-01T10:00:00Z'",
    undefined,
  ],
  ['timestamp too old: x, oldest acceptable timestamp is: 9999-99-99T99:99:99Z', undefined],
]
for (const [answer, found] of TEXTS) {
  test(`oldest acceptable time: ${answer.slice(0, 100)}`, () => assert.equal(latestBound(answer), found))
}
