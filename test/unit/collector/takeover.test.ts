/** An agent that takes the place of another one: the real agents on played kernels, with one lock and one file of events. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CollectorError } from '../../../collector/errors.ts'
import { untilReplaced } from '../../../collector/host/sockets/handed-over.ts'
import { takeLock, takeOver } from '../../../collector/host/sockets/lock.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import { Audit, auditSource } from '../../../exporters/index.ts'
import { bootTime } from '../../../native/index.ts'
import type { ReplayKernel } from '../../support/kernel/replay.ts'
import { RingRecords } from '../../support/recording/ring-records.ts'
import { until } from '../exporters/support/fake-clock.ts'
import { Folder } from '../exporters/support/folder.ts'
import { LONG } from '../../support/long.ts'
import { newKernel, startRig } from '../../support/kernel/rig.ts'
import type { Rig } from '../../support/kernel/rig.ts'

const FILE = valueIndex({ index: 0, type: typeNamed('file') ?? NOP })
let number = 0

/** The hooks of these agents see one access to a file of its own. Returns its path. */
function access(...kernels: readonly ReplayKernel[]): string {
  const path = `/f${number++}`
  for (const kernel of kernels) {
    const ring = new RingRecords(BigInt(kernel.counts().taken))
    ring.hook({ ns: bootTime(), tgid: 1, tid: 1, startNs: 1n }, 1, [
      [FILE, { kind: 'file', path, inode: 7n, mode: 0o100644 }],
    ])
    kernel.play(ring.bytes())
  }
  return path
}

const count = ({ log }: Rig, words: string): number => log.filter(({ msg }) => String(msg).includes(words)).length
const logged = (rig: Rig, words: string): boolean => count(rig, words) > 0

/** Paths of all accesses in the file of events, in its order. */
const pathsOf = (rig: Rig): string[] =>
  rig.lines().flatMap((line) => /"path":"(\/f\d+)"/.exec(JSON.stringify(line))?.[1] ?? [])

async function audited(folder: Folder): Promise<ReturnType<Audit['report']>[number]> {
  const audit = new Audit()
  const source = auditSource(folder.at('events.jsonl'), { env: {}, sinceMs: undefined, nowMs: Date.now() })
  for await (const record of source()) if (record !== undefined && record !== 'unreadable') audit.add(record)
  const [stream] = audit.report({ nowMs: Date.now(), partial: false })
  assert.ok(stream)
  return stream
}

const isTaken = (error: unknown): boolean => error instanceof CollectorError && error.code === 'ALREADY_RUNNING'

test('takeover: each access is in the stream, and audit finds no time in which nothing was watched', async () => {
  using folder = new Folder()
  const [earlier, later] = [newKernel(folder.at('lock')), newKernel(folder.at('lock'))]
  const first = await startRig(folder, { kernel: earlier })
  const paths = [access(earlier)]
  const replaced = first.agent.replaced()
  const taking = startRig(folder, { kernel: later, takesOver: true })
  // Both have attached their hooks.
  await until('the request', () => logged(first, 'another agent takes over'))
  while (await Promise.race([replaced.then(() => false), pause(1, true)])) paths.push(access(earlier, later))
  assert.equal(await replaced, process.pid)
  const stopped = first.agent.stop()
  while (await Promise.race([stopped.then(() => false), pause(1, true)])) paths.push(access(earlier, later))
  await using second = await taking
  for (let i = 0; i < 10; i++) paths.push(access(later))
  await second.agent.stop()
  assert.equal((await stopped).droppedAtStop, 0)
  const found = pathsOf(second)
  assert.deepEqual([...new Set(found)].toSorted(), paths.toSorted())
  // Only those of the milliseconds of the change are in both runs.
  const { runs, whole } = await audited(folder)
  assert.ok(whole)
  assert.equal(runs.length, 2)
  assert.equal(runs[1]?.unwatchedMs, 0)
})

test('takeover: an agent that cannot start leaves the earlier one alone', async () => {
  using folder = new Folder()
  const [earlier, later] = [newKernel(folder.at('lock')), newKernel(folder.at('lock'))]
  await using first = await startRig(folder, { kernel: earlier })
  void first.agent.replaced()
  later.refusal = new CollectorError('POLICY_REFUSED', 'p.yaml:6:13: the kernel refuses it')
  await assert.rejects(startRig(folder, { kernel: later, takesOver: true }), /the kernel refuses it/)
  const path = access(earlier)
  await until('its event', () => pathsOf(first).includes(path))
  assert.ok(first.agent.alive())
  assert.equal(logged(first, 'another agent takes over'), false)
})

/** A successor that leaves in a stage: before the answer, when it has the place, or without a word. */
const LEAVES: ReadonlyArray<{ readonly name: string; readonly after: 'request' | 'since'; readonly word?: string }> = [
  { name: 'at once', after: 'request' },
  { name: 'when the earlier agent has closed its exporters', after: 'since' },
  { name: 'after another word than ready', after: 'since', word: 'read\n' },
  { name: 'in the middle of the word', after: 'since', word: 'rea' },
]

for (const { name, after, word = '' } of LEAVES) {
  test(`takeover: a successor that leaves ${name} costs no event, and the earlier agent goes on`, async () => {
    using folder = new Folder()
    const kernel = newKernel(folder.at('lock'))
    await using first = await startRig(folder, { kernel })
    void first.agent.replaced()
    const paths = [access(kernel)]
    for (let times = 1; times <= (LONG ? 20 : 2); times++) {
      const client = connect(folder.at('lock'))
      await new Promise((written) => client.write('take over 1234\n', written))
      if (after === 'since') {
        let answer = ''
        client.setEncoding('latin1').on('data', (part: string) => (answer += part))
        while (!/^since \d+\n$/.test(answer)) {
          paths.push(access(kernel))
          await pause(1)
        }
        client.write(word)
      }
      client.destroy()
      paths.push(access(kernel))
      await until('the way back', () => count(first, 'did not take over') === times)
      paths.push(access(kernel))
    }
    await until('the last event', () => pathsOf(first).includes(paths.at(-1) ?? ''))
    await first.agent.stop()
    assert.deepEqual(pathsOf(first), paths)
    const { runs, whole, consistent } = await audited(folder)
    assert.ok(whole && consistent)
    if (after === 'since') assert.equal(runs.length, 1 + (LONG ? 20 : 2))
    assert.deepEqual(
      runs.slice(1).map(({ unwatchedMs }) => unwatchedMs),
      runs.slice(1).map(() => 0),
    )
  })
}

test('takeover: after kill -9 of the earlier agent, the later one reports all that it has seen', async () => {
  using folder = new Folder()
  // Its process ends without an answer.
  const killed = await takeLock(folder.at('lock'))
  const asked = killed.asked()
  const later = newKernel(folder.at('lock'))
  const taking = startRig(folder, { kernel: later, takesOver: true })
  await asked
  const path = access(later)
  killed[Symbol.dispose]()
  await using second = await taking
  await second.agent.stop()
  assert.deepEqual(pathsOf(second), [path])
})

test('takeover: without an agent it starts; one that does not hand over is an error with the next step', async () => {
  using folder = new Folder()
  const lock = await takeOver(folder.at('lock'))
  assert.equal(lock.since, undefined)
  // It does not wait for a successor.
  await assert.rejects(takeOver(folder.at('lock')), /does not hand over: stop it first \(systemctl stop ktrail/)
  void lock.asked()
  await assert.rejects(takeOver(folder.at('lock'), 50), isTaken)
  lock[Symbol.dispose]()
})

test('lock: what a client sends is bounded, and only the right words ask for the place', async () => {
  using folder = new Folder()
  using lock = await takeLock(folder.at('lock'))
  let isAsked = false
  void lock.asked().then(() => (isAsked = true))
  for (const words of [
    'take over \n',
    'take over 12345678901\n',
    'take over 1',
    'go first \n',
    'go first 1\n',
    'go 1\n',
    `take over ${'1'.repeat(1 << 20)}`,
    '\n',
  ]) {
    const client = connect(folder.at('lock'))
    client.on('error', () => {}).resume()
    client.end(words)
    await new Promise((resolve) => client.once('close', resolve))
    assert.equal(isAsked, false, words.slice(0, 40))
  }
})

test('handed over: in a pod it answers the probe, until a signal or the end of the other agent', async () => {
  using folder = new Folder()
  const path = folder.at('lock')
  const http = { path: folder.at('http.sock') }
  const other = await takeLock(path)
  const signal = Promise.withResolvers<void>()
  const signalled = untilReplaced(http, signal.promise, path)
  const rolledBack = untilReplaced({ path: folder.at('other.sock') }, new Promise(() => {}), path)
  const probe = async (): Promise<string> => {
    const client = connect(http.path)
    client.end('GET /livez HTTP/1.1\r\n\r\n')
    return text(client)
  }
  let answer = ''
  while (answer === '') answer = await probe().catch(() => pause(10, ''))
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  signal.resolve()
  await signalled
  await assert.rejects(probe(), /ENOENT|ECONNREFUSED/)
  assert.equal(await Promise.race([rolledBack, pause(2500, 'waits')]), 'waits')
  other[Symbol.dispose]()
  await rolledBack
})
