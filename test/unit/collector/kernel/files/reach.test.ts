/** Requests to file systems that may never answer: the cost of a silent one, and its limits. The threads are promises. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fullPatience } from '../../../../../config/base/time/in-time.ts'
import { mountOf, mountsOf } from '../../../../../collector/kernel/files/mounts.ts'
import { HUNG_MAX, Reach, Unanswered } from '../../../../../collector/kernel/files/reach.ts'
import type { PathWorker } from '../../../../../native/types.ts'

/** A thread that counts requests, and never answers by itself. */
function counting(): { readonly worker: PathWorker; abandoned: number; closed: number; readonly released: number[] } {
  const counts = { abandoned: 0, closed: 0, released: [] as number[] }
  const never = (): Promise<never> => Promise.withResolvers<never>().promise
  const worker: PathWorker = {
    readFolder: never,
    readLink: never,
    find: never,
    digest: never,
    readStart: never,
    release: async (fd) => void counts.released.push(fd),
    abandon: () => void counts.abandoned++,
    close: () => void counts.closed++,
    [Symbol.dispose]: () => void counts.closed++,
  }
  return Object.assign(counts, { worker })
}

/** `/proc` is a file system of its own wherever this runs; so is `/sys`, and `/dev/shm` or `/dev`. */
const HUNG = '/proc/version'

function rig(): {
  readonly reach: Reach
  readonly counts: ReturnType<typeof counting>
  readonly warnings: string[]
  readonly pass: (ms: number) => void
} {
  const counts = counting()
  const warnings: string[] = []
  let nowMs = 0
  const warn = (detail: object, message: string): void => void warnings.push(`${JSON.stringify(detail)} ${message}`)
  const reach = new Reach({ worker: counts.worker, nowMs: () => nowMs, deadlineMs: 5, warn })
  return { reach, counts, warnings, pass: (ms) => void (nowMs += ms) }
}

test('reach: a request gets its own answer or error, one at a time', async () => {
  const { reach } = rig()
  const log: string[] = []
  const question = (name: string) => async (): Promise<string> => {
    log.push(`${name} begins`)
    await setImmediate()
    log.push(`${name} ends`)
    if (name === 'b') throw new Error('no')
    return name
  }
  const all = await Promise.allSettled(['a', 'b', 'c'].map((name) => reach.ask('/', question(name))))
  assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  assert.deepEqual(
    all.map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason))),
    ['a', 'Error: no', 'c'],
  )
})

test('reach: a silent file system costs one thread, and does not block requests to others', async () => {
  const { reach, counts, warnings, pass } = rig()
  const { promise, resolve } = Promise.withResolvers<string>()
  let asked = 0
  const question = (): Promise<string> => (asked++, promise)
  await assert.rejects(reach.ask(HUNG, question), /^Error: the file system mounted at "\/proc" does not answer/)
  await assert.rejects(reach.ask('/proc/uptime', question), Unanswered)
  assert.deepEqual([asked, counts.abandoned, warnings.length], [1, 1, 1])
  assert.match(warnings[0] ?? '', /"mount":"\/proc".* does not answer/)
  assert.equal(await reach.ask('/', async () => 'here'), 'here')
  // The thread has returned, but the file system gets no request for the rest of the minute.
  resolve('late')
  await setImmediate()
  pass(59_999)
  await assert.rejects(reach.ask(HUNG, question), Unanswered)
  pass(1)
  assert.equal(await reach.ask(HUNG, question), 'late')
})

test('reach: a thread that waits longer than a minute is still the only one', async () => {
  const { reach, counts, pass } = rig()
  const never = Promise.withResolvers<string>().promise
  await assert.rejects(
    reach.ask(HUNG, () => never),
    Unanswered,
  )
  pass(3_600_000)
  await assert.rejects(
    reach.ask(HUNG, () => never),
    Unanswered,
  )
  assert.equal(counts.abandoned, 1)
})

test('reach: answers that are each in time are too late if their sum is not', async (t) => {
  const { reach } = rig()
  t.mock.timers.enable({ apis: ['setInterval'] })
  const patience = fullPatience()
  const slow = async (): Promise<string> => {
    await setImmediate()
    t.mock.timers.tick(2)
    return 'slow'
  }
  for (let i = 0; i < 2; i++) assert.equal(await reach.ask(HUNG, slow, patience), 'slow')
  await assert.rejects(reach.ask(HUNG, slow, patience), Unanswered)
  await assert.rejects(reach.ask(HUNG, slow), Unanswered, 'for a minute')
  assert.equal(await reach.ask('/', slow), 'slow')
})

test('reach: a late descriptor is closed, once', async () => {
  const { reach, counts } = rig()
  const { promise, resolve } = Promise.withResolvers<number>()
  counts.worker.find = () => promise
  await assert.rejects(reach.find(HUNG), Unanswered)
  resolve(7)
  await setImmediate()
  assert.deepEqual(counts.released, [7])
  counts.worker.find = async () => 8
  const fd = await reach.find('/')
  assert.deepEqual([fd, counts.released], [8, [7]])
  await reach.release('/', fd)
  assert.deepEqual(counts.released, [7, 8])
})

test('reach: is closed when the last thread has returned, and makes no request afterwards', async () => {
  const { reach, counts } = rig()
  const { promise, resolve } = Promise.withResolvers<number>()
  await assert.rejects(
    reach.ask(HUNG, () => promise),
    Unanswered,
  )
  reach.close()
  await setImmediate()
  assert.equal(counts.closed, 0)
  await assert.rejects(
    reach.ask('/', async () => 'x'),
    Unanswered,
  )
  resolve(1)
  await setImmediate()
  assert.equal(counts.closed, 1)
})

test('reach: the number of threads that wait for the kernel is bounded', async () => {
  const { reach, counts } = rig()
  const never = Promise.withResolvers<string>().promise
  // A process that does not exist has no known mount: each request is about another file system.
  const unknown = (i: number): string => `/proc/0/root/${i}`
  for (let i = 0; i < HUNG_MAX; i++)
    await assert.rejects(
      reach.ask(unknown(i), () => never),
      Unanswered,
    )
  await assert.rejects(
    reach.ask('/', async () => 'x'),
    /not checked, because 32 other file systems do not answer/,
  )
  assert.equal(counts.abandoned, HUNG_MAX)
})

const MOUNTINFO = `22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:50 / /mnt/two\\040words rw - fuse x rw
41 22 0:51 / /mnt rw - tmpfs x rw
42 41 0:52 / /mnt/a rw - nfs x rw
43 42 0:53 / /mnt/a rw - nfs y rw
`

for (const [path, want] of [
  ['/', '259:2'],
  ['/etc/passwd', '259:2'],
  ['/proc', '0:21'],
  ['/process', '259:2'],
  ['/mnt/a/b', '0:53'],
  ['/mnt/ab', '0:51'],
  ['/mnt/two words/x', '0:50'],
] as const) {
  test(`mounts: ${path} is on ${want}`, () => assert.equal(mountOf(mountsOf(MOUNTINFO), path)?.device, want))
}

test('mounts: an empty list has no mount', () => assert.equal(mountOf(mountsOf(''), '/'), undefined))
