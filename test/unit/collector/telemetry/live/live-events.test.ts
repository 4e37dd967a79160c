/** /events as a client reads it: framing, filters and bounds. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import type { Delivery } from '../../../../../collector/delivery/delivery.ts'
import type { Page } from '../../../../../collector/telemetry/http.ts'
import { createLiveEvents } from '../../../../../collector/telemetry/live/live-events.ts'
import type { LiveBounds } from '../../../../../collector/telemetry/live/live-events.ts'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { until } from '../../../../e2e/support/wait.ts'
import {
  file,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makePod,
  makeProcess,
  text,
} from '../../../exporters/support/events.ts'
import { emptyDelivery } from '../../support/delivery.ts'
import { requestOf } from '../../support/request.ts'

interface Rig {
  readonly page: Page
  readonly delivery: Delivery
}

function rig(bounds: Partial<LiveBounds> = {}): Rig {
  const delivery = emptyDelivery()
  return { delivery, page: createLiveEvents({ delivery, nodeName: 'web-1' }, { everyMs: 1, ...bounds }) }
}

async function open({ page }: Rig, query = ''): Promise<Readable> {
  const answer = await page(requestOf(`/events?${query}`))
  assert.ok('stream' in answer, 'body' in answer ? String(answer.body) : '')
  assert.deepEqual([answer.status, answer.type], [200, 'text/event-stream'])
  return answer.stream
}

async function refusal({ page }: Rig, query = ''): Promise<string> {
  const answer = await page(requestOf(`/events?${query}`))
  assert.ok('body' in answer)
  return `${answer.status} ${answer.body}`
}

/** Messages that a reader got until now. */
function reading(stream: Readable): { readonly messages: () => string[] } {
  let all = ''
  stream.on('data', (bytes) => (all += String(bytes)))
  return { messages: () => all.split('\n\n').filter((message) => message !== '' && message !== ':') }
}

test('live events: a reader gets records as they come, one message each', async () => {
  const agent = rig()
  const stream = await open(agent)
  const { messages } = reading(stream)
  agent.delivery.publish([makeExec({ seq: 1 }), makeLoss({ seq: 2 })])
  await until('two messages', () => messages().length === 2)
  agent.delivery.publish([makeExit({ seq: 3 })])
  await until('three messages', () => messages().length === 3)
  const records = messages().map((message) => {
    assert.match(message, /^data: \{[^\n]*\}$/)
    return JSON.parse(message.slice('data: '.length))
  })
  assert.deepEqual(
    records.map((record) => [Object.keys(record)[0], record.node_name]),
    [
      ['process_exec', 'web-1'],
      ['rate_limit_info', 'web-1'],
      ['process_exit', 'web-1'],
    ],
  )
  stream.destroy()
})

const EVENTS: readonly Event[] = [
  makeExec({ seq: 1, process: makeProcess({ binary: '/bin/cat', arguments: '/etc/motd' }) }),
  makeExit({
    seq: 2,
    process: makeProcess({ binary: '/bin/vi', arguments: '', pod: makePod({ namespace: 'shop', name: 'web-1' }) }),
  }),
  makeKprobe({ seq: 3, hook: makeHook({ policy: 'files' }), args: [file('/etc/shadow')] }),
  makeKprobe({ seq: 4, hook: makeHook({ policy: 'net', functionName: 'tcp_connect' }), args: [text('a.*b')] }),
  makeLoss({ seq: 5 }),
]

/** Positions of the accepted events, from 1; loss records pass always. */
const FILTERS: ReadonlyArray<readonly [query: string, events: string]> = [
  ['', '1,2,3,4,5'],
  ['type=process_exec', '1,5'],
  ['type=process_exec&type=process_exit', '1,2,5'],
  ['type=events_lost', '5'],
  ['policy=files', '3,5'],
  ['policy=*', '3,4,5'],
  ['namespace=shop', '2,5'],
  ['namespace=', '1,3,4,5'],
  ['pod=web-*', '2,5'],
  ['text=cat', '1,5'],
  ['text=%2Fetc%2Fmotd', '1,5'],
  ['text=/etc/shadow', '3,5'],
  ['text=tcp_', '4,5'],
  ['text=a.*b', '4,5'],
  ['text=.*', '4,5'],
  ['text=tcp_&policy=files', '5'],
]

for (const [query, want] of FILTERS) {
  test(`live events: ?${query} lets ${want} pass`, async () => {
    const agent = rig()
    const stream = await open(agent, query)
    const { messages } = reading(stream)
    agent.delivery.publish(EVENTS)
    await until('the last', () => messages().some((message) => message.includes('rate_limit_info')))
    const kinds = messages().map((message) =>
      EVENTS.findIndex(({ type, ...event }) => {
        if (type === 'events_lost') return message.includes('rate_limit_info')
        if (!('hook' in event)) return message.includes(type)
        return message.includes(`"policy_name":"${event.hook.policy}"`)
      }),
    )
    assert.equal(kinds.map((i) => i + 1).join(), want)
    stream.destroy()
  })
}

test('live events: a wrong query is refused with what is expected', async () => {
  const agent = rig()
  assert.match(await refusal(agent, 'type=exec'), /^400 type: .*process_exec/)
  assert.match(await refusal(agent, 'policy='), /^400 policy: /)
  assert.match(
    await refusal(agent, 'binary=x'),
    /^400 "binary": expected type, policy, namespace, pod, container or text\n$/,
  )
  assert.match(await refusal(agent, '__proto__=x'), /^400 "__proto__": expected type/)
})

test('live events: a reader that does not read costs its bound, and gets the number of missing events when it reads', async () => {
  const agent = rig()
  const [slow, fast] = [await open(agent, 'type=process_exec'), await open(agent, 'type=process_exit')]
  const { messages: fastMessages } = reading(fast)
  const before = process.memoryUsage().heapUsed
  let published = 0
  // The result is never a promise, because no exporter and no reader blocks the publisher.
  for (; published < 20_000; published += 100) {
    const events = Array.from({ length: 100 }, (_, i) => makeExec({ seq: published + i }))
    assert.equal(agent.delivery.publish(events), undefined)
  }
  agent.delivery.publish([makeExit()])
  await until('the event of the other reader', () => fastMessages().length === 1)
  assert.ok(slow.readableLength < 2 << 20, `${slow.readableLength} bytes wait`)
  assert.ok(process.memoryUsage().heapUsed - before < 256 << 20)
  const { messages } = reading(slow)
  const total = (): number => {
    const lost = messages().map((message) => Number(/^event: lost\ndata: (\d+)$/.exec(message)?.[1] ?? 1))
    return lost.reduce((sum, n) => sum + n, 0)
  }
  await until('all events, shown or counted', () => total() === published)
  assert.ok(messages().length < 2_000, `${messages().length} messages`)
  slow.destroy()
  fast.destroy()
})

test('live events: more readers than allowed are refused until one leaves', async () => {
  const agent = rig({ readers: 2 })
  const [first, second] = [await open(agent), await open(agent)]
  assert.match(await refusal(agent), /^503 expected at most 2 live readers: /)
  first.destroy()
  await once(first, 'close')
  const third = await open(agent)
  assert.match(await refusal(agent), /^503 /)
  for (const stream of [second, third]) stream.destroy()
})

test('live events: a reader that left no longer gets events, and the stop of the agent ends the others', async () => {
  const agent = rig()
  const [left, stays] = [await open(agent), await open(agent)]
  left.destroy()
  await once(left, 'close')
  const { messages } = reading(stays)
  agent.delivery.publish([makeExec()])
  await agent.delivery.stop(0)
  await until('the end of the stream', () => stays.closed)
  assert.equal(messages().length, 1)
  // Only the first comment.
  assert.equal(left.readableLength, 3)
})

test('live events: a quiet stream shows that it is alive', async () => {
  const stream = await open(rig({ quietMs: 1 }))
  let all = ''
  stream.on('data', (bytes) => (all += String(bytes)))
  await until('comments', () => all.startsWith(':\n\n:\n\n:\n\n'))
  stream.destroy()
})
