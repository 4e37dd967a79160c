import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reading } from '../../../../collector/ingest/source.ts'
import { livez, readyz } from '../../../../collector/telemetry/health.ts'
import type { Watched } from '../../../../collector/telemetry/health.ts'
import { Sender } from '../../../../exporters/index.ts'
import type { Outcome } from '../../../../exporters/index.ts'
import { enabledPolicies } from '../support/policies.ts'
import { FakeClock, settle } from '../../exporters/support/fake-clock.ts'
import { FakeExporter, gate, hold, lines, retryable } from '../../exporters/support/lines.ts'

const OPTIONS = {
  queue: { max_bytes: 10_000, max_events: 5, when_full: 'block' },
  batch: { max_events: 5, max_bytes: 1000, max_wait: 0 },
  retry: { initial: 1000, max: 10_000 },
  timeout: 60_000,
} as const

async function senderOf(name: string, answer?: FakeExporter['answer']): Promise<Sender> {
  const sender = new Sender(name, new FakeExporter(answer), OPTIONS, { clock: new FakeClock(), random: () => 0.5 })
  await sender.start()
  return sender
}

interface Rig {
  readonly reading: Reading
  at(ms: number, senders?: readonly Watched[]): string
}

function rig(): Rig {
  let nowMs = 0
  const reading = new Reading(() => nowMs)
  return {
    reading,
    at(ms, senders = []) {
      nowMs = ms
      const { status, body } = livez(reading, senders)
      return `${status} ${body}`
    },
  }
}

test('livez: ok if the ring was read in the last ten seconds, else 503 until it is read again', () => {
  const { reading, at } = rig()
  assert.equal(at(9_999), '200 ok\n')
  assert.equal(
    at(34_567),
    '503 the ring has not been read for 34 s; it should be read every few seconds: restart the agent\n',
  )
  reading.looked()
  assert.equal(at(44_566), '200 ok\n')
  assert.match(at(44_567), /^503 /)
})

test('livez: an exporter that blocks the reader is listed, and is no reason for a restart', async () => {
  const { answer, open } = gate()
  const [free, blocking] = [await senderOf('free'), await senderOf('bus', answer)]
  const { reading, at } = rig()
  const wait = blocking.offer(lines(0, 10))
  assert.ok(wait !== undefined)
  reading.held = true
  assert.equal(at(9_999, [free, blocking]), '200 ok\n')
  assert.equal(
    at(20_000, [free, blocking]),
    '200 ok, but the ring has not been read for 20 s: exporter bus blocks it (when_full: block)\n',
  )
  await settle()
  open({ status: 'delivered' })
  await wait
  reading.takeBack()
  assert.equal(at(29_999, [free, blocking]), '200 ok\n')
  // No longer blocked: a reader that does not read now has failed.
  assert.match(at(30_000, [free, blocking]), /^503 /)
})

test('livez: exporters that accept events at once do not delay the reader', () => {
  const { reading, at } = rig()
  reading.held = true
  reading.takeBack()
  assert.match(at(10_000), /^503 /)
})

test('livez: ok while the agent drains, which may take more than ten seconds', () => {
  const { reading, at } = rig()
  reading.ended = true
  assert.equal(at(60_000), '200 ok\n')
})

const policies = enabledPolicies({ name: 'a', modes: ['fexit', 'join'] }, { name: 'b', modes: ['fexit'] }).list()

test('readyz: 503 before everything is attached and once the agent stops', () => {
  assert.deepEqual(readyz({ ready: false, policies, senders: [], tampering: [] }), {
    status: 503,
    body: 'starting or stopping\n',
  })
  assert.deepEqual(readyz({ ready: true, policies, senders: [], tampering: [] }), {
    status: 200,
    body: 'ready: 2 policies, 3 hooks\n',
  })
})

test('readyz: an API server that is away is named, and the agent stays ready', () => {
  const retried = [
    'kubernetes: cannot watch pods: away',
    'cannot listen on 127.0.0.1:2112: another program listens there',
  ]
  const { status, body } = readyz({ ready: true, policies, senders: [], tampering: [], retried })
  assert.equal(status, 200)
  assert.match(
    String(body),
    /\nkubernetes: cannot watch pods: away\ncannot listen on 127\.0\.0\.1:2112: another program listens there\n$/,
  )
})

test('readyz: 503 while an exporter needs manual action; a retrying one is listed', async () => {
  const answering =
    (outcome: Outcome): FakeExporter['answer'] =>
    () =>
      outcome
  const senders = [
    await senderOf('well', answering({ status: 'delivered' })),
    await senderOf('again', answering(retryable())),
    await senderOf('stuck', answering(hold())),
  ]
  for (const sender of senders) sender.offer(lines(0, 5))
  await settle()
  assert.deepEqual(readyz({ ready: true, policies, senders: senders.slice(0, 2), tampering: [] }), {
    status: 200,
    body: 'ready: 2 policies, 3 hooks\nexporter again is retrying: try again\n',
  })
  assert.deepEqual(readyz({ ready: true, policies, senders, tampering: [] }), {
    status: 503,
    body: 'exporter stuck: needs manual action\nexporter again is retrying: try again\n',
  })
})

test('readyz: 503 while a policy lacks a group of functions, with the policy', () => {
  const lacking = enabledPolicies({ name: 'a', modes: ['fexit'], lacking: ['this kernel has none of f, g'] }).list()
  assert.deepEqual(readyz({ ready: true, policies: lacking, senders: [], tampering: [] }), {
    status: 503,
    body: 'policy a: this kernel has none of f, g\n',
  })
})

test('readyz: 503 while other programs silence hooks, with the finding, its place and the next step', () => {
  const on = '/proc/sys/kernel/ftrace_enabled'
  const tampering = [
    { kind: 'ftrace_disabled', on, expected: '1', got: '0', repaired: false },
    { kind: 'gate_changed', on: 'do_exit', expected: 'program 7', got: 'no program', repaired: true },
  ] as const
  assert.deepEqual(readyz({ ready: true, policies, senders: [], tampering }), {
    status: 503,
    body:
      `tampering: ${on}: 0, expected 1: write 1 to it\n` +
      'tampering: do_exit: no program, expected program 7: repaired\n',
  })
})
