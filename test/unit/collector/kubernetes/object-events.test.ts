import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { CollectorError } from '../../../../collector/errors.ts'
import { ObjectEvents } from '../../../../collector/kubernetes/object-events.ts'

const ABOUT = { apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', namespace: '', name: 'p', uid: 'u' }

interface Written {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly message: string
  readonly count: number
}

/** A cluster's events; `hold` keeps the first request until it resolves. */
function rig(fail?: () => CollectorError | undefined) {
  const written = new Map<string, Written>()
  const problems: string[] = []
  let wrote = Promise.withResolvers<void>()
  let requests = 0
  const did = (): void => {
    requests++
    wrote.resolve()
    wrote = Promise.withResolvers()
  }
  const events = new ObjectEvents({
    client: {
      async create(_resource, _namespace, object) {
        await Promise.resolve()
        did()
        const error = fail?.()
        if (error !== undefined) throw error
        const event = object as Written
        const { name } = event.metadata
        if (written.has(name)) throw new CollectorError('KUBERNETES_EXISTS', 'exists')
        written.set(name, event)
      },
      async patch(_resource, { name }, patch) {
        await Promise.resolve()
        const known = written.get(name)
        assert.ok(known)
        written.set(name, { ...known, ...(patch as object) })
        did()
      },
    },
    nodeName: 'n',
    onProblem: (problem) => problems.push(problem),
    everyMs: 5,
  })
  return {
    events,
    written,
    problems,
    async until(holds: () => boolean): Promise<void> {
      while (!holds()) await wrote.promise
    },
    requests: () => requests,
  }
}

test('events: an equal event is counted in the first one, a different one is separate', async () => {
  const { events, written, until } = rig()
  for (const message of ['a', 'b', 'a', 'a']) events.record(ABOUT, 'Warning', 'Refused', message)
  await until(() => [...written.values()].some(({ count }) => count === 3))
  assert.deepEqual(
    [...written.values()].map(({ message, count, metadata }) => [message, count, metadata.namespace]),
    [
      ['n: a', 3, 'default'],
      ['n: b', 1, 'default'],
    ],
  )
  await events[Symbol.asyncDispose]()
})

test('events: a flood is bounded, in number and length', async () => {
  const { events, written, until, requests } = rig()
  for (let i = 0; i < 2_000; i++) events.record(ABOUT, 'Normal', 'Attached', `${i} ${'x'.repeat(5_000)}`)
  assert.ok(events.dropped >= 900, `${events.dropped}`)
  const began = performance.now()
  await until(() => requests() >= 120)
  assert.ok(performance.now() - began >= 50, 'after a burst, one each 5 ms')
  assert.equal([...written.values()][0]?.message.length, 1024)
  await events[Symbol.asyncDispose]()
})

test('events: a failure is reported once, and costs only the event', async () => {
  const refusal = new CollectorError('KUBERNETES_REFUSED', 'may not create events')
  const { events, problems, until, requests } = rig(() => refusal)
  for (const message of ['a', 'b', 'c']) events.record(ABOUT, 'Warning', 'Refused', message)
  await until(() => requests() === 3)
  await events[Symbol.asyncDispose]()
  assert.deepEqual(problems, ['may not create events'])
})

test('events: a connection that broke is tried once more', async () => {
  const away = new CollectorError('KUBERNETES_UNREACHABLE', 'away')
  let left = 1
  const { events, problems, written, until } = rig(() => (left-- > 0 ? away : undefined))
  events.record(ABOUT, 'Warning', 'Refused', 'a')
  await until(() => written.size === 1)
  left = 2
  events.record(ABOUT, 'Warning', 'Refused', 'b')
  while (problems.length === 0) await setImmediate()
  await events[Symbol.asyncDispose]()
  assert.deepEqual([problems, written.size], [['away'], 1])
})
