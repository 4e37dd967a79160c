import { after } from 'node:test'
import { Silence, contract } from '../../../../../exporters/testing/index.ts'
import { rawRecords } from '../../../../support/otlp/decode.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Answer } from '../../../../support/otlp/server.ts'
import { idsOf } from '../../support/lines.ts'
import { exporterFor } from './support.ts'

/** Failures after which the sink has taken nothing. */
const FAULTS: readonly Answer[] = [
  { status: 503 },
  { status: 429, headers: { 'retry-after': '0' } },
  { status: 500, body: 'oops' },
  { status: 200, fault: 'reset' },
  { status: 413 },
  { status: 200, body: '<title>Log in</title>' },
]

// One server for all tests: the harness is created synchronously, so the sink must exist before.
let took: string[] = []
let failures = 0
let fault = 0
let silence: Silence | undefined
const sink = await FakeSink.start(async (request) => {
  await silence?.pass()
  const text = rawRecords(request.body).toString()
  // The harness counts failing calls of the sink; a single line is never "too large", which would be a rejection.
  if (failures > 0) {
    failures--
    const answer = FAULTS[fault++ % FAULTS.length] ?? OK
    if (answer.status !== 413 || idsOf(text).length > 1) return answer
  }
  took.push(text)
  return OK
})
after(() => sink[Symbol.asyncDispose]())

contract('otlp', () => {
  took = []
  failures = 0
  silence = undefined
  const exporter = exporterFor(sink, { compression: 'gzip', request_timeout: 5000 })
  return {
    exporter,
    ids: () => took.flatMap(idsOf),
    fail: (calls) => (failures = calls),
    stall: () => (silence = new Silence()),
    [Symbol.dispose]: () => void exporter.stop(),
  }
})
