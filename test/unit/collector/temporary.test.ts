/** The agent of one command leaves its place to a service: the real agents on played kernels, and the command's own code for its events. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Arguments } from '../../../collector/cli/command.ts'
import { policyText } from '../../../collector/cli/watch/policy.ts'
import { watchWith } from '../../../collector/cli/watch/through.ts'
import { toEvent } from '../../../collector/api/events/to-event.ts'
import { CollectorError } from '../../../collector/errors.ts'
import { takeLock, takeOver } from '../../../collector/host/sockets/lock.ts'
import type { Lock } from '../../../collector/host/sockets/lock.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import { bootTime } from '../../../native/index.ts'
import type { ReplayKernel } from '../../support/kernel/replay.ts'
import { newKernel, startRig } from '../../support/kernel/rig.ts'
import type { Rig } from '../../support/kernel/rig.ts'
import { RingRecords } from '../../support/recording/ring-records.ts'
import { until } from '../exporters/support/fake-clock.ts'
import { Folder } from '../exporters/support/folder.ts'

const isTaken = (error: unknown): boolean => error instanceof CollectorError && error.code === 'ALREADY_RUNNING'
const logged = ({ log }: Rig, words: string): boolean => log.some(({ msg }) => String(msg).includes(words))

/** A command with an agent of its own. */
class Command implements AsyncDisposable {
  readonly kernel: ReplayKernel
  readonly rig: Rig
  readonly seen: string[] = []
  readonly errors: string[] = []
  readonly ended: Promise<void>
  /** Its own agent has ended after the change. */
  hasStopped = false
  opened = false
  /** Its own agent has left its place. */
  hasLeft = false

  static async start(folder: Folder, watches?: Promise<void>): Promise<Command> {
    const kernel = newKernel(folder.at('lock'))
    return new Command(folder, await startRig(folder, { kernel, temporary: true, api: true }), watches)
  }

  private constructor(folder: Folder, rig: Rig, watches: Promise<void> = Promise.resolve()) {
    this.rig = rig
    this.kernel = rig.kernel
    const left = rig.agent.left()
    void left.then(() => (this.hasLeft = true))
    const stop = async (): Promise<void> => {
      await rig.agent.stop()
      this.hasStopped = true
    }
    const own = { left, replaced: (ms: number): void => void setTimeout(() => void stop(), ms) }
    const watch = {
      policy: () => policyText([{ path: '/f', isFolder: true }], ['read'], true),
      limited: true,
      lacks: '',
      opened: () => void (this.opened = true),
      events: async (messages: Parameters<Parameters<typeof watchWith>[0]['events']>[0]): Promise<void> => {
        for await (const message of messages) {
          const event = toEvent(message)
          if (event?.type !== 'process_kprobe') continue
          for (const each of event.args) if (each.kind === 'file') this.seen.push(each.path)
        }
      },
      signals: [],
      changesAgent: true,
    }
    const given: Pick<Arguments, 'text'> = {
      text: (key) => (key === 'server' ? `unix://${folder.at('grpc.sock')}` : undefined),
    }
    const printError = (line: string): void => void this.errors.push(line)
    const terminal = { env: {}, print: () => Promise.resolve(true), printError, nowMs: () => Date.now() }
    this.ended = watches.then(() => watchWith(watch, given as Arguments, terminal, own))
    this.ended.catch(() => {})
  }

  get changed(): boolean {
    return this.errors.includes('ktrail: an agent runs here now: this command goes on with it')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig.agent.stop()
  }
}

let number = 0

/** The policies of clients on these kernels see one access to a file of its own. Returns its path. */
function access(...kernels: readonly ReplayKernel[]): string {
  const path = `/f/${number++}`
  for (const kernel of kernels) {
    const ring = new RingRecords(BigInt(kernel.counts().taken))
    for (const { hooks } of kernel.attached)
      for (const { hook, spec } of hooks)
        if (spec.call === 'security_file_permission' && hook.policy.startsWith('watch-'))
          ring.hook(
            { ns: bootTime(), tgid: 1, tid: 1, startNs: 1n },
            hook.id,
            spec.args.map((arg) => [
              valueIndex(arg),
              arg.index === 0 ? { kind: 'file', path, inode: 7n, mode: 0o100644 } : { kind: 'int', value: 4n },
            ]),
          )
    kernel.play(ring.bytes())
  }
  return path
}

/** Plays accesses until the condition holds. */
async function accessUntil(paths: string[], kernels: readonly ReplayKernel[], condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; !condition(); await pause(1)) {
    assert.ok(performance.now() < end, 'in time')
    paths.push(access(...kernels))
  }
}

/** Each access is shown; in the milliseconds of the change, maybe twice. */
function assertWhole(command: Command, paths: readonly string[]): void {
  assert.deepEqual([...new Set(command.seen)].toSorted(), paths.toSorted())
  assert.ok(command.seen.length - paths.length <= 10, `${command.seen.length} of ${paths.length}`)
}

for (const takesOver of [false, true]) {
  test(`temporary agent: a service that ${takesOver ? 'takes over' : 'starts'} gets its place, and the command loses no event`, async () => {
    using folder = new Folder()
    await using command = await Command.start(folder)
    await until('the command watches', () => command.opened)
    const paths: string[] = []
    const later = newKernel(folder.at('lock'))
    const both = [command.kernel, later]
    let started: Rig | undefined
    const starting = startRig(folder, { kernel: later, takesOver, api: true }).then((rig) => (started = rig))
    await accessUntil(paths, both, () => started !== undefined && command.changed)
    await accessUntil(paths, both, () => command.hasStopped)
    await using service = await starting
    for (let i = 0; i < 10; i++) paths.push(access(later))
    await until('the last event', () => command.seen.includes(paths.at(-1) ?? ''))
    assertWhole(command, paths)
    assert.equal(logged(service, 'cannot listen'), false)
    // As any client, the command ends with the service.
    await service.agent.stop()
    await command.ended
    assert.equal(command.errors.filter((line) => line.includes('an agent runs here now')).length, 1)
  })
}

test('temporary agent: a service waits until the command reads events', async () => {
  using folder = new Folder()
  const watches = Promise.withResolvers<void>()
  await using command = await Command.start(folder, watches.promise)
  const taking = takeLock(folder.at('lock'))
  assert.equal(await Promise.race([taking, pause(200, 'waits')]), 'waits')
  watches.resolve()
  using _ = await taking
  await until('the command watches', () => command.opened)
  const path = access(command.kernel)
  await until('the event', () => command.seen.includes(path))
})

/** The command ends in a state of waiting: the service gets the place at once, and the command ends without an error. */
const ENDS: ReadonlyArray<{ readonly name: string; readonly watches: boolean; readonly asks: 'before' | 'after' }> = [
  { name: 'before it reads events, with a service that waits', watches: false, asks: 'before' },
  { name: 'while it watches, without a service', watches: true, asks: 'after' },
  { name: 'after its agent has left its place to a service that still starts', watches: true, asks: 'before' },
]

for (const { name, watches, asks } of ENDS) {
  test(`temporary agent: the command ends ${name}`, async () => {
    using folder = new Folder()
    const command = await Command.start(folder, watches ? undefined : new Promise(() => {}))
    if (watches) await until('the command watches', () => command.opened)
    let taking: Promise<Lock> | undefined
    if (asks === 'before') taking = takeLock(folder.at('lock'))
    if (asks === 'before' && watches) await until('the place is free', () => command.hasLeft)
    await command.rig.agent.stop()
    if (watches) await command.ended
    using lock = await (taking ?? takeLock(folder.at('lock')))
    assert.equal(lock.since, undefined)
    assert.equal(existsSync(folder.at('grpc.sock')), false)
    assert.equal(command.changed, false)
  })
}

/** A service that fails in a stage; the command goes on with its own agent, and then with the next service. */
const FAILURES: ReadonlyArray<{ readonly name: string; readonly fail: (folder: Folder) => Promise<void> }> = [
  {
    name: 'dies when it has the lock',
    fail: async (folder) => (await takeLock(folder.at('lock')))[Symbol.dispose](),
  },
  {
    name: 'dies after its request',
    fail: async (folder) => (await takeOver(folder.at('lock')))[Symbol.dispose](),
  },
  {
    name: 'cannot attach its own policies',
    fail: async (folder) => {
      const kernel = newKernel(folder.at('lock'))
      kernel.refusal = new CollectorError('POLICY_REFUSED', 'p.yaml:6:13: the kernel refuses it')
      await assert.rejects(startRig(folder, { kernel, api: true }), /the kernel refuses it/)
    },
  },
  {
    name: "refuses the command's policy, and stops",
    fail: async (folder) => {
      const kernel = newKernel(folder.at('lock'))
      await using rig = await startRig(folder, { kernel, api: true })
      const refusal = new CollectorError('POLICY_REFUSED', 'the kernel refuses it')
      Object.defineProperty(kernel, 'refusal', { get: () => ((refused = true), refusal), set: () => {} })
      let refused = false
      await until('the refusal', () => refused)
      assert.equal(rig.agent.alive(), true)
    },
  },
]

for (const { name, fail } of FAILURES) {
  test(`temporary agent: a service that ${name} costs the command no event, and the next one gets the place`, async () => {
    using folder = new Folder()
    await using command = await Command.start(folder)
    await until('the command watches', () => command.opened)
    const paths = [access(command.kernel)]
    let failed = false
    const failing = fail(folder).then(() => (failed = true))
    await accessUntil(paths, [command.kernel], () => failed)
    await failing
    assert.equal(command.changed, false)
    const later = newKernel(folder.at('lock'))
    await using service = await startRig(folder, { kernel: later, api: true })
    await accessUntil(paths, [command.kernel, later], () => command.changed)
    await accessUntil(paths, [command.kernel, later], () => command.hasStopped)
    paths.push(access(later))
    await until('the last event', () => command.seen.includes(paths.at(-1) ?? ''))
    assertWhole(command, paths)
    await service.agent.stop()
  })
}

test('temporary agent: of two services one gets the place; a second temporary agent is refused at once', async () => {
  using folder = new Folder()
  await using command = await Command.start(folder)
  await assert.rejects(takeLock(folder.at('lock'), true), isTaken)
  const all = await Promise.allSettled([takeLock(folder.at('lock')), takeLock(folder.at('lock'))])
  assert.deepEqual(all.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  for (const each of all) {
    if (each.status === 'rejected') assert.ok(isTaken(each.reason))
    else each.value[Symbol.dispose]()
  }
  assert.equal(command.changed, false)
})
