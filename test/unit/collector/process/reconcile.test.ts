/** After losses the table is made equal to the kernel's: ended processes are removed, missed ones added, newer ones not touched. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ProcessFiles } from '../../../../collector/process/detail/process-files.ts'
import type { KernelProcess } from '../../../../collector/kernel/port.ts'
import type { Reconciled } from '../../../../collector/process/reconcile.ts'
import { Reconciler } from '../../../../collector/process/reconcile.ts'
import type { ProcessTable } from '../../../../collector/process/table.ts'
import { NativeError } from '../../../../native/index.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { exec, fork, newTable, scanned } from '../support/processes.ts'
import { write } from '../support/procfs.ts'

const LATER_MS = 1e12
const DEADLINE_MS = 60_000
/** Well above the starts of the tests' processes. */
const NOW_NS = 100_000_000_000n
const TICK_NS = 10_000_000

/** A kernel, a /proc and a table that agree at first: init (pid 1) and the processes that `run` adds. */
class World implements Disposable {
  readonly folder = new Folder()
  readonly table: ProcessTable = newTable()
  readonly kernel = new Map<number, KernelProcess>()
  room = true
  lost = 0
  missedExits = 0
  waiting = 0
  /** Looks at the ring. */
  looks = 0
  done: Reconciled | undefined
  /** The kernel's maps are closed. */
  closed = false
  /** Called before the arguments of a process are read. */
  reading: () => void | Promise<void> = () => {}
  readonly failures: unknown[] = []
  readonly reconciler: Reconciler

  constructor() {
    const { table, kernel, folder } = this
    const files = new ProcessFiles(folder.path)
    const read = files.read.bind(files)
    files.read = async (...asked) => {
      await this.reading()
      return read(...asked)
    }
    this.reconciler = new Reconciler({
      table,
      kernel: {
        processes: () => this.#parts(),
        processStart: (pid) => {
          if (this.closed) throw new NativeError('CLOSED', 'the map processes is closed')
          const start = kernel.get(pid)?.start
          return start === undefined ? undefined : BigInt(start.lo)
        },
        seedProcess: (pid, startNs, parentTgid) => {
          if (!this.room || kernel.has(pid)) return false
          this.enter(pid, Number(startNs), parentTgid)
          return true
        },
        forgetProcess: (pid) => void kernel.delete(pid),
      },
      procfs: folder.path,
      files,
      lost: () => this.lost,
      missedExits: () => this.missedExits,
      waiting: () => {
        this.looks++
        return this.waiting
      },
      bootNs: () => NOW_NS,
      onDone: (done) => (this.done = done),
      onFailed: (error) => this.failures.push(error),
    })
    write(folder.path, { pid: process.pid })
    write(folder.path, { pid: 1, ticks: 1n })
    table.addScanned(scanned(1, 0))
    this.enter(1, TICK_NS, 0)
  }

  *#parts(): Generator<KernelProcess[]> {
    for (const entry of this.kernel.values()) yield [entry]
  }

  /** Adds it to the kernel's table. */
  enter(pid: number, start: number, parentTgid: number): void {
    const parentStart = this.kernel.get(parentTgid)?.start ?? { lo: 0, hi: 0 }
    this.kernel.set(pid, { pid, start: { lo: start, hi: 0 }, parentTgid, parentStart })
  }

  /** Adds it to /proc and the kernel's table. */
  begin(pid: number, start: number): void {
    write(this.folder.path, { pid, parent: 1, ticks: BigInt(Math.floor(start / TICK_NS)), exe: `/bin/p${pid}` })
    this.enter(pid, start, 1)
  }

  /** `begin`, and its records arrive. */
  run(pid: number, start: number): void {
    this.begin(pid, start)
    this.table.exec(exec(pid, start, 1, TICK_NS), 0)
  }

  /** The process ends without a record. */
  vanish(pid: number): void {
    this.kernel.delete(pid)
    rmSync(`${this.folder.path}/${pid}`, { recursive: true })
  }

  /** Two ticks after a loss, and an empty ring. */
  async reconcile(nowMs = LATER_MS): Promise<Reconciled> {
    this.done = undefined
    this.lost++
    this.reconciler.tick(0)
    this.reconciler.tick(nowMs)
    const compared = (): boolean => {
      this.reconciler.read(0)
      return this.done !== undefined || this.failures.length > 0
    }
    await until('the table is compared', compared, DEADLINE_MS)
    assert.deepEqual(this.failures, [])
    return this.done ?? assert.fail('nothing was compared')
  }

  isKnown(pid: number): boolean {
    const image = this.table.find(pid, 0, 0)
    return image !== undefined && !image.ended
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]()
  }
}

const START = 50_000_000
let world: World

describe('reconciling', () => {
  beforeEach(() => {
    world = new World()
  })
  afterEach(() => world[Symbol.dispose]())

  it('releases processes that the kernel no longer has, after their grace period', async () => {
    world.run(10, START)
    world.run(11, START + 1)
    world.vanish(10)
    assert.deepEqual(await world.reconcile(), { released: 1, adopted: 0 })
    assert.deepEqual(
      [world.isKnown(10), world.isKnown(11), world.isKnown(1), world.isKnown(0)],
      [false, true, true, true],
    )
    assert.notEqual(world.table.find(10, START, 0), undefined)
    assert.equal(world.table.find(1, 0, 0)?.process.refcnt, 2)
  })

  it('does nothing without losses', () => {
    world.run(10, START)
    world.vanish(10)
    for (let i = 0; i < 5; i++) world.reconciler.tick(LATER_MS + i)
    assert.ok(world.isKnown(10))
  })

  it('reads from /proc the processes that only the kernel has, with the kernel’s start and parent', async () => {
    world.begin(20, START)
    world.begin(21, START + 1)
    world.kernel.set(21, {
      pid: 21,
      start: { lo: START + 1, hi: 0 },
      parentTgid: 20,
      parentStart: { lo: START, hi: 0 },
    })
    assert.deepEqual(await world.reconcile(), { released: 0, adopted: 2 })
    const image = world.table.find(21, START + 1, 0)
    assert.equal(image?.process.binary, '/bin/p21')
    assert.match(image.process.flags, /^procFS/)
    assert.equal(image.parent, world.table.find(20, START, 0))
  })

  it('a lost exec: the previous image is released, the running one is read', async () => {
    world.run(10, START)
    world.enter(10, START + 5, 10)
    assert.deepEqual(await world.reconcile(), { released: 1, adopted: 1 })
    assert.equal(world.table.find(10, 0, 0)?.startLo, START + 5)
    assert.ok(world.isKnown(10))
  })

  it('a reused pid: /proc describes the new process', async () => {
    world.run(10, START)
    world.vanish(10)
    write(world.folder.path, { pid: 10, ticks: 4000n })
    world.room = false
    assert.deepEqual(await world.reconcile(), { released: 1, adopted: 0 })
  })

  it('a process without space in the kernel’s table stays, and is added to it so that its end will be recorded', async () => {
    world.run(10, START)
    world.kernel.delete(10)
    assert.deepEqual(await world.reconcile(), { released: 0, adopted: 0 })
    assert.ok(world.isKnown(10))
    assert.equal(world.kernel.get(10)?.start.lo, START)
  })

  it('an ended process that the kernel’s table still has is removed there too, after missed exits', async () => {
    world.run(10, START)
    world.run(11, START)
    rmSync(`${world.folder.path}/10`, { recursive: true })
    assert.deepEqual(await world.reconcile(), { released: 0, adopted: 0 })
    world.missedExits++
    assert.deepEqual(await world.reconcile(), { released: 1, adopted: 0 })
    assert.deepEqual([...world.kernel.keys()], [1, 11])
  })

  it('does not touch processes newer than the check, on either side', async () => {
    const young = Number(NOW_NS) - 500_000_000
    world.table.exec(exec(10, young % 2 ** 32, 1, TICK_NS, {}, { startHi: Math.floor(young / 2 ** 32) }), 0)
    world.begin(11, START)
    world.kernel.set(12, {
      pid: 12,
      start: { lo: young % 2 ** 32, hi: Math.floor(young / 2 ** 32) },
      parentTgid: 1,
      parentStart: { lo: 0, hi: 0 },
    })
    assert.deepEqual(await world.reconcile(), { released: 0, adopted: 1 })
    assert.ok(world.isKnown(10) && world.isKnown(11) && !world.isKnown(12))
  })

  it('compares only after the ring was read up to the check: waiting records are no loss', async () => {
    world.run(10, START)
    world.vanish(10)
    world.begin(11, START)
    world.waiting = 100
    world.lost++
    world.reconciler.tick(0)
    world.reconciler.tick(LATER_MS)
    // On a busy machine it pauses before.
    await until('a look at the ring', () => world.looks > 0, DEADLINE_MS)
    world.reconciler.read(60)
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(world.isKnown(10), 'the exit record may be among the 40 waiting bytes')
    world.table.exit(10, START, 0, 0)
    world.table.fork(fork(11, START, 1, TICK_NS), 0)
    world.reconciler.read(40)
    await until('the end', () => world.done !== undefined, DEADLINE_MS)
    assert.deepEqual(world.done, { released: 0, adopted: 0 })
    assert.equal(world.table.find(11, START, 0)?.process.forked, true, 'the image of the record')
  })

  it('changes nothing if /proc cannot be read', async () => {
    world.run(10, START)
    world.kernel.delete(10)
    rmSync(`${world.folder.path}/10/stat`)
    mkdirSync(world.folder.at('10/stat'))
    world.room = false
    assert.deepEqual(await world.reconcile(), { released: 0, adopted: 0 })
    assert.ok(world.isKnown(10))
  })

  it('a stop ends a reconciliation that waits for the ring', async () => {
    world.run(10, START)
    world.vanish(10)
    world.lost++
    world.reconciler.tick(0)
    world.reconciler.tick(LATER_MS)
    await world.reconciler.stop()
    assert.ok(world.isKnown(10))
    assert.equal(world.done, undefined)
  })

  it('a stop while a process is read from /proc asks the kernel no more', async () => {
    world.begin(20, START)
    world.lost++
    world.reconciler.tick(0)
    world.reconciler.tick(LATER_MS)
    await until('a look at the ring', () => world.looks > 0, DEADLINE_MS)
    const read = Promise.withResolvers<void>()
    world.reading = read.resolve
    world.reconciler.read(0)
    await read.promise
    const stopped = world.reconciler.stop()
    world.closed = true
    await stopped
    assert.deepEqual(world.failures, [])
  })

  it('a process whose arguments are not answered for a second does not delay the next comparison', async () => {
    world.reading = () => setTimeout(1_000)
    for (const pid of [10, 11]) world.begin(pid, START)
    assert.equal((await world.reconcile()).adopted, 2)
    world.vanish(10)
    assert.equal((await world.reconcile(performance.now() + 2_000)).released, 1)
  })

  it('20,000 processes block the event loop for no more than a slice', async () => {
    for (let i = 0; i < 20_000; i++) {
      world.enter(1000 + i, START + i, 1)
      world.table.exec(exec(1000 + i, START + i, 1, TICK_NS), 0)
    }
    for (let i = 0; i < 5000; i++) world.kernel.delete(1000 + 4 * i)
    let turns = 0
    let running = true
    const turn = (): void => {
      turns++
      if (running) setImmediate(turn)
    }
    turn()
    assert.deepEqual(await world.reconcile(), { released: 5000, adopted: 0 })
    running = false
    assert.ok(turns > 5, `${turns}`)
    assert.equal(world.table.find(1, 0, 0)?.process.refcnt, 15_001)
  })
})
