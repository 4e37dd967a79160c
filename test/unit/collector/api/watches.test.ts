/** Watches: policies that live as long as a call. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { ApiClient, ClientError } from '../../../../collector/api/client.ts'
import { Watches } from '../../../../collector/proto/ktrail/watches_pb.js'
import { makeHook, makeKprobe } from '../../exporters/support/events.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { Rig } from './support/rig.ts'

const ROOT = path.join(import.meta.dirname, '../../../..')

/** A policy with a hook for each call. */
const policy = (calls: readonly string[]): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name: 'own' },
    spec: { kprobes: calls.map((call) => ({ call, syscall: false })) },
  })
const EIGHT = policy(Array.from({ length: 8 }, (_, i) => `f${i}`))

test('watches: events of the first functions come while the others are attached, then a message without an event', async () => {
  await using rig = new Rig()
  const address = (await rig.api.serve()) ?? ''
  const rest = Promise.withResolvers<void>()
  const change = rig.kernel.change.bind(rig.kernel)
  rig.kernel.change = async (remove, add) => {
    if (add.some(({ name }) => name === 'watch-1-more')) await rest.promise
    return await change(remove, add)
  }
  using client = new ApiClient(address)
  const stream = client.stream(Watches.method.watch, { yaml: EIGHT })
  const first = stream.next()
  await until('the first functions are attached', () => rig.kernel.names.length === 1)
  assert.deepEqual(
    rig.kernel.attached[0]?.policy.hooks.map(({ call }) => call),
    ['f0', 'f1', 'f2', 'f3'],
  )
  await rig.delivery.publish([makeKprobe({ hook: makeHook({ policy: 'watch-1', private: true }) })])
  assert.equal((await first).value?.event.case, 'processKprobe')
  rest.resolve()
  assert.equal((await stream.next()).value?.event.case, undefined)
  assert.deepEqual(rig.kernel.names, ['watch-1', 'watch-1-more'])
  await rig.delivery.publish([makeKprobe({ hook: makeHook({ policy: 'watch-1-more', private: true }) })])
  assert.equal((await stream.next()).value?.event.case, 'processKprobe')
  await stream.return(undefined)
  await until('both are detached', () => rig.kernel.names.length === 0)
})

test('watches: if the kernel refuses the others, the first are detached, and the client gets the reason', async () => {
  await using rig = new Rig()
  rig.kernel.refuse = ({ name }) => (name === 'watch-1-more' ? new Error('no room') : undefined)
  using client = new ApiClient((await rig.api.serve()) ?? '')
  await assert.rejects(
    client.stream(Watches.method.watch, { yaml: EIGHT }).next(),
    (error) => error instanceof ClientError && /no room/.test(error.message),
  )
  await until('the first are detached', () => rig.kernel.names.length === 0)
  assert.deepEqual(rig.policies.list(), [])
})

test('watches: a function with hooks in both parts keeps the policy whole', async () => {
  await using rig = new Rig()
  using client = new ApiClient((await rig.api.serve()) ?? '')
  const stream = client.stream(Watches.method.watch, { yaml: policy(['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f0']) })
  assert.equal((await stream.next()).value?.event.case, undefined)
  assert.deepEqual(rig.kernel.names, ['watch-1'])
  await stream.return(undefined)
})

test('watches: a client that has ended before its stream gets nothing, and the stream ends', async () => {
  await using rig = new Rig()
  using client = new ApiClient((await rig.api.serve()) ?? '')
  const stream = client.stream(Watches.method.watch, { yaml: EIGHT }, () => {}, AbortSignal.abort())
  assert.deepEqual(await stream.next(), { done: true, value: undefined })
  await until('nothing is attached', () => rig.kernel.names.length === 0)
})

test('watches: a client may watch by all policies of a bundle, and a ninth client is refused', async () => {
  await using rig = new Rig()
  const address = (await rig.api.serve()) ?? ''
  // On a Unix socket, the process is the client.
  using bundle = new ApiClient(address)
  const streams = Array.from({ length: 40 }, () => bundle.stream(Watches.method.watch, { yaml: policy(['f0']) }))
  await Promise.all(streams.map((stream) => stream.next()))
  assert.equal(rig.kernel.names.length, 40)
  const open = Array.from({ length: 7 }, () => watching(address))
  await until('seven other clients watch', () => rig.kernel.names.length === 47)
  assert.match(
    await text(watching(address).stderr),
    /8 clients already watch by policies of their own: end one of them/,
  )
  for (const child of open) child.kill()
  await until('they are detached', () => rig.kernel.names.length === 40)
  await Promise.all(streams.map((stream) => stream.return(undefined)))
  await until('all are detached', () => rig.kernel.names.length === 0)
})

/** Another process that watches. */
function watching(address: string): ChildProcessByStdio<null, null, Readable> {
  const script = `
    import { ApiClient } from '${ROOT}/collector/api/client.ts'
    import { Watches } from '${ROOT}/collector/proto/ktrail/watches_pb.js'
    try { for await (const _ of new ApiClient(process.argv[1]).stream(Watches.method.watch, { yaml: process.argv[2] })); }
    catch (error) { console.error(error.message); process.exit(3) }`
  const words = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, address, policy(['f0'])]
  return spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] })
}
