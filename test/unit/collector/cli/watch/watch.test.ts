/** `ktrail watch` with an agent without a kernel: who gets the events, and how long the policy lives. test/e2e has it on a real kernel. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { CollectorError } from '../../../../../collector/errors.ts'
import { ApiClient } from '../../../../../collector/api/client.ts'
import { Watches } from '../../../../../collector/proto/ktrail/watches_pb.js'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { until } from '../../../../e2e/support/wait.ts'
import { file as fileAt, int, makeHook, makeKprobe, makeProcess } from '../../../exporters/support/events.ts'
import { Rig } from '../../api/support/rig.ts'
import { policyOf } from '../../support/policies.ts'
import { typed } from '../support/terminal.ts'
import type { Written } from '../support/terminal.ts'

const KTRAIL = path.join(import.meta.dirname, '../../../../../ktrail')
const FILE = '/etc/passwd'

const access = (policy: string, own: boolean, file = FILE, count?: number): Event =>
  makeKprobe({
    ...(count !== undefined && { aggregate: { count, last: { sec: 0, nsec: 0 } } }),
    hook: makeHook({ policy, functionName: 'security_file_permission', ...(own && { private: true }) }),
    process: makeProcess({ pid: 812, uid: 7, binary: '/usr/bin/head', arguments: '-n1 /etc/passwd' }),
    args: [fileAt(file), int(4)],
  })

/** Watches while `during` runs, then stops the agent. */
async function watching(rig: Rig, args: readonly string[], during: () => Promise<void> | void): Promise<Written> {
  const ended = typed(['watch', ...args, '--server', `unix://${rig.path}`])
  await Promise.race([
    until('the command watches', () => rig.kernel.names.some((name) => name.endsWith('-more'))),
    ended,
  ])
  await during()
  await rig.delivery.stop(0)
  return ended
}

test('watch: the events go to the command alone, as lines; other readers and exporters get all others', async () => {
  await using rig = await Rig.start()
  const reader = rig.delivery.subscribe(undefined, { bytes: 1 << 20, events: 100 })
  const { code, stdout, stderr } = await watching(rig, [FILE], () => {
    assert.deepEqual(rig.kernel.names, ['watch-1', 'watch-1-more'])
    rig.delivery.publish([access('mine', false), access('watch-1', true), access('mine', false, '/etc/\nx')])
  })
  const line = /^\d\d:\d\d:\d\d read {6}\/etc\/passwd {2}pid 812 uid 7 .*\/usr\/bin\/head -n1 \/etc\/passwd\n$/
  assert.match(stdout, line)
  assert.match(stderr, /^ktrail: watching \/etc\/passwd; Ctrl-C ends$/m)
  assert.equal(code, 0)
  const others: Event[] = []
  for await (const { events } of reader) others.push(...events)
  assert.deepEqual(
    others.map((event) => [event.seq, event.type === 'process_kprobe' && event.hook.policy]),
    [
      [0, 'mine'],
      [1, 'mine'],
    ],
  )
  await until('the policy is removed', () => rig.kernel.names.length === 0)
  // The kernel may still report calls of before.
  rig.delivery.publish([access('watch-1', true)])
  assert.deepEqual(rig.policies.list(), [])
  assert.deepEqual(
    rig.changes.map(({ what, names }) => [what, ...names]),
    [
      ['policy_added', 'watch-1'],
      ['policy_added', 'watch-1-more'],
      ['policy_removed', 'watch-1'],
      ['policy_removed', 'watch-1-more'],
    ],
  )
})

test('watch: JSON lines, hostile file names in one line each', async () => {
  await using rig = await Rig.start()
  const { stdout } = await watching(rig, [FILE, '-o', 'json'], () => {
    rig.delivery.publish([access('watch-1', true)])
  })
  assert.equal(JSON.parse(stdout).process_kprobe.policy_name, 'watch-1')
  await using second = await Rig.start()
  const shown = await watching(second, [FILE], () => {
    second.delivery.publish([access('watch-1', true, '/etc/\n\x1b[2Jx')])
  })
  assert.equal(shown.stdout.split('\n').length, 2)
  assert.ok(!shown.stdout.includes('\x1b'))
})

test('watch: equal accesses have one line with their number', async () => {
  await using rig = await Rig.start()
  const { stdout } = await watching(rig, [FILE], () => {
    rig.delivery.publish([1, 12].map((count) => access('watch-1', true, FILE, count)))
  })
  assert.match(stdout, / {2}pid 812.*\n.* read {6}\/etc\/passwd \(12 times\) {2}pid 812/)
})

test('watch: a killed command takes its policies with it', async () => {
  await using rig = await Rig.start()
  const child = spawn(KTRAIL, ['watch', FILE, '--server', `unix://${rig.path}`], { stdio: 'ignore' })
  await until('the command watches', () => rig.kernel.names.length === 2 && rig.api.readers.count === 1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await until('the policy is removed', () => rig.kernel.names.length === 0)
})

for (const end of ['SIGINT', 'SIGTERM', 'SIGKILL', 'the end of the agent'] as const) {
  test(`watch: while the agent is busy it names what it waits for; ${end} leaves nothing`, async () => {
    await using rig = await Rig.start()
    const busy = Promise.withResolvers<void>()
    rig.kernel.busy = busy.promise
    const child = spawn(KTRAIL, ['watch', FILE, '--server', `unix://${rig.path}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stderr = ''
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    const exited = once(child, 'exit')
    await until('the wait', () => /^ktrail: attaching to \d+ functions…$/m.test(stderr))
    await until('the request', () => rig.kernel.tries.length === 1)
    assert.doesNotMatch(stderr, /Ctrl-C ends/)
    if (end !== 'the end of the agent') {
      child.kill(end)
      assert.deepEqual(await exited, [null, end])
      busy.resolve()
      await until('the removal', () => rig.kernel.tries.some((change) => change.startsWith('-')))
    } else {
      const stopped = rig.api[Symbol.asyncDispose]()
      assert.equal((await exited)[0], 1, stderr)
      busy.resolve()
      await stopped
    }
    const policies = (): number => rig.policies.list().length + rig.kernel.names.length
    await until('no policy', () => policies() === 0 && rig.api.readers.count === 0)
  })
}

test('watch: a long wait is shown again, with its time', async (t) => {
  await using rig = await Rig.start()
  const busy = Promise.withResolvers<void>()
  rig.kernel.busy = busy.promise
  t.mock.timers.enable({ apis: ['setInterval'] })
  const lines: string[] = []
  const ended = typed(['watch', FILE, '--server', `unix://${rig.path}`], (line) => lines.push(line))
  await until('the request', () => rig.kernel.tries.length === 1)
  t.mock.timers.tick(10_000)
  busy.resolve()
  await until('the command watches', () => lines.some((line) => line.includes('Ctrl-C ends')))
  t.mock.timers.tick(60_000)
  await rig.delivery.stop(0)
  const { stderr } = await ended
  assert.equal(stderr.match(/^ktrail: still attaching to \d+ functions… \d+ s$/gm)?.length, 1, stderr)
})

test('watch: a kernel without identity is watched by name, and the command says what that misses', async () => {
  await using rig = await Rig.start()
  const isByName = ({ hooks }: ReturnType<typeof policyOf>): boolean =>
    hooks.every(({ selectors }) => selectors.every(({ matchArgs }) => matchArgs.every((f) => f.class !== 'identity')))
  rig.kernel.refuse = (policy) =>
    isByName(policy) ? undefined : new CollectorError('POLICY_REFUSED', 'UnderDir needs Linux 5.17')
  const { stderr } = await watching(rig, [FILE], () => {
    assert.deepEqual(
      rig.policies.list().map(({ id, state }) => [id.name, state]),
      [
        ['watch-2', 'enabled'],
        ['watch-2-more', 'enabled'],
      ],
    )
  })
  assert.match(stderr, /not by identity, so hard links and other mounts stay unseen: UnderDir needs Linux 5\.17/)
  assert.match(stderr, /watching \/etc\/passwd by name; Ctrl-C ends/)
})

test('watch: what is refused leaves nothing, and is a sentence', async () => {
  await using rig = await Rig.start()
  rig.kernel.refuse = () => new CollectorError('POLICY_REFUSED', 'no room')
  const server = ['--server', `unix://${rig.path}`]
  await assert.rejects(typed(['watch', FILE, '--by-name', ...server]), { message: 'no room' })
  assert.deepEqual(rig.policies.list(), [])
  await assert.rejects(typed(['watch', ...server]), { message: 'watch requires at least one file or folder' })
  await assert.rejects(typed(['watch', FILE, '--server', `unix://${rig.path}.none`]), {
    message: /no agent listens on/,
  })
})

test('watch: policies that act are refused, and no other client changes those that watch', async () => {
  await using rig = await Rig.start()
  using client = new ApiClient(`unix://${rig.path}`)
  const yaml = (spec: string): string =>
    `apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: x }\nspec: { kprobes: [{ call: sys_read${spec} }] }\n`
  const open = (text: string): AsyncGenerator<unknown> => client.stream(Watches.method.watch, { yaml: text })
  const kill = yaml(', selectors: [{ matchActions: [{ action: Sigkill }] }]')
  await assert.rejects(open(kill).next(), {
    code: 'INVALID_ARGUMENT',
    message: /neither sends signals nor makes calls/,
  })
  await assert.rejects(open('').next(), { code: 'INVALID_ARGUMENT', message: /^watch:1:1: / })
  const call = open(yaml('')).next()
  await until('it watches', () => rig.kernel.names.length === 1)
  const remove = rig.client().ask('DeleteTracingPolicy', { name: 'watch-1', domain: 'watch' })
  await assert.rejects(remove, { details: /comes from a client that watches by it: end that client/ })
  const add = rig.client().ask('AddTracingPolicy', { yaml: yaml(''), domain: 'watch' })
  await assert.rejects(add, { details: /reserved for policies of ktrail watch/ })
  await rig.delivery.stop(0)
  await call
})
