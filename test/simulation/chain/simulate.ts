/**
 * One random life of a sending chain with its spool: several runs of the agent on one disk, with one sink that is healthy,
 * slow, down, rejecting or silent; each run ends in a stop, a kill or a crash of the host. Then a last run without faults. With reloads, the
 * sink of the chain is paused and replaced, or continues, while events come.
 *
 * Invariants: the accounting balances at every check; a start never fails and a stop always ends; a sink that takes one
 * call at a time never sees an event for the first time after a later one; durable events are seen by the sink in the
 * end, or reported as lost with a cause, and have a dead-letter record if rejected; a clean stop loses only what the disk refuses.
 */
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../exporters/buffer/disk/spool.ts'
import type { Loss } from '../../../exporters/buffer/disk/tally.ts'
import type { SpoolFrame } from '../../../exporters/buffer/disk/format/segment.ts'
import type { AppendResult } from '../../../exporters/buffer/disk/writer.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { zstdAtOnce } from '../../unit/exporters/support/compressors.ts'
import { FakeClock, settle } from '../../unit/exporters/support/fake-clock.ts'
import { describedLines } from '../../unit/exporters/support/lines.ts'
import { Disk, NO_FAULTS } from '../spool/disk.ts'
import { Seeded } from '../spool/random.ts'
import { Records } from './records.ts'
import { REFUSALS, Sink, SinkExporter } from './sink.ts'
import type { Mood } from './sink.ts'
import type { ChainConfig } from '../../../exporters/sending/config.ts'
import { SPOOL } from '../../support/exporter-config.ts'

/** The faults and results of a life, so that a script can show that faults really happened. */
export interface ChainFacts {
  readonly kills: number
  readonly crashes: number
  readonly stops: number
  readonly reloads: number
  readonly injected: number
  readonly flips: number
  readonly offered: number
  readonly taken: number
  readonly repeated: number
  readonly refused: number
  readonly recorded: number
  readonly spooled: number
  readonly lost: number
}

/** Frames in the spool: the ids from `first` on are at the positions from `from` on. */
interface Written {
  readonly first: number
  readonly count: number
  readonly from: number
  safe: boolean
}

const MOODS: readonly Mood[] = ['healthy', 'healthy', 'slow', 'down', 'mixed', 'hold', 'silent']

/** `packed`: the spool packs, and its disk may hang. `reloaded`: the sink is replaced now and then. */
export type ChainKind = 'plain' | 'packed' | 'reloaded'

/** Runs the life with this seed; rejects with the reason if an invariant fails. */
export function simulateChain(
  seed: number,
  trace?: (line: string) => void,
  kind: ChainKind = 'plain',
): Promise<ChainFacts> {
  return new Life(seed, trace, kind).run()
}

/** Not on another thread, which does not follow the test's clock. */
// Without a pool each payload has its own memory, even if small: then one that is freed too early is noticed.
Buffer.poolSize = 0

class Life {
  readonly #random: Seeded
  readonly #disk: Disk
  readonly #clock = new FakeClock()
  readonly #sink = new Sink()
  /** Ids that have a dead-letter record. */
  readonly #recorded = new Set<number>()
  #options: ChainConfig
  readonly #concurrency: number
  readonly #flipping: boolean
  readonly #limited: boolean
  readonly #packing: boolean
  readonly #reloading: boolean
  readonly #trace: (line: string) => void
  #written: Written[] = []
  /** Includes frames at uncertain positions: a loss may refer to them. */
  readonly #everWritten: Written[] = []
  readonly #losses: Loss[] = []
  /** Ids in reported losses. */
  readonly #reported = new Set<number>()
  /** Ids that were dropped for lack of space or by age. After a power cut, events refused by a full disk may still arrive. */
  readonly #dropped = new Set<number>()
  #run: Run | undefined
  #nextId = 0
  #damagedEnds = false
  #facts = { kills: 0, crashes: 0, stops: 0, reloads: 0, flips: 0 }

  constructor(seed: number, trace: (line: string) => void = () => undefined, kind: ChainKind = 'plain') {
    this.#packing = kind === 'packed'
    this.#reloading = kind === 'reloaded'
    const random = new Seeded(seed)
    this.#random = random
    this.#trace = trace
    this.#disk = new Disk(random)
    this.#flipping = random.chance(0.2)
    this.#limited = random.chance(0.2)
    this.#concurrency = random.chance(0.2) ? 3 : 1
    const whenFull = random.pick(['drop_newest', 'drop_oldest', 'block'] as const) ?? 'block'
    this.#options = {
      queue: { max_bytes: 2000 + random.int(4000), max_events: 20 + random.int(100), when_full: whenFull },
      batch: { max_events: 2 + random.int(10), max_bytes: 200 + random.int(400), max_wait: random.int(300) },
      retry: { initial: 100, max: 2000, ...(random.chance(0.1) ? { max_age: 5000 } : {}) },
      timeout: 1000,
      spool: { ...SPOOL, ...this.#spoolLimits(), use: random.chance(0.2) ? 'always' : 'overflow' },
    }
  }

  async run(): Promise<ChainFacts> {
    for (let runs = 1 + this.#random.int(4); runs > 0; runs--) await this.#oneRun()
    await this.#lastRun()
    const { taken, refused } = this.#sink
    return {
      ...this.#facts,
      injected: this.#disk.injected,
      offered: this.#nextId,
      taken: taken.length,
      repeated: taken.length - new Set(taken).size,
      refused: refused.size,
      recorded: this.#recorded.size,
      spooled: this.#written.reduce((sum, { count }) => sum + count, 0),
      lost: this.#losses.reduce((sum, { events }) => sum + events, 0),
    }
  }

  async #oneRun(): Promise<void> {
    const random = this.#random
    if (random.chance(0.1)) this.#fault()
    if (random.chance(0.4)) this.#disk.faults.crashAfter = this.#disk.steps + random.int(200)
    const run = await this.#start()
    if (run === undefined) return this.#end('crash')
    for (let acts = 3 + random.int(25); acts > 0; acts--) {
      await this.#act(run)
      if (this.#disk.down) return this.#end('crash')
      this.#check(run)
    }
    const end = random.int(3)
    if (end === 0) return this.#end('crash')
    if (end === 1) return this.#end('kill')
    await this.#stop(run, random.int(4000))
  }

  /** undefined if the disk crashed meanwhile. */
  async #start(): Promise<Run | undefined> {
    this.#disk.nowMs = this.#clock.wallMs()
    // A start waits for its disk without a limit.
    this.#disk.thaw()
    const clock = new LifeClock(this.#clock)
    const exporter = this.#exporter(clock)
    let spool: Spool | undefined
    const sender = new Sender('sim', exporter, this.#options, {
      clock,
      random: this.#random.next,
      deadLetters: new Records(this.#recorded, this.#random, clock),
      onLost: ({ reason, firstSeq, lastSeq }) => {
        if (REFUSALS.has(reason)) return
        for (let id = firstSeq; id <= lastSeq; id++) this.#dropped.add(id)
      },
      openSpool: async (onLoss) => {
        const opened = await openSpool(this.#spoolOptions(), {
          files: this.#disk.files,
          ...(this.#packing ? { zstd: zstdAtOnce } : {}),
          clock,
          random: this.#random.next,
          onLoss: (loss) => {
            this.#trace(`loss ${JSON.stringify(loss)}`)
            this.#losses.push(loss)
            onLoss(loss)
          },
        })
        const { tornBytes, quarantined, cursor } = opened.recovery
        if (tornBytes > 0 || quarantined.length > 0 || cursor === 'corrupt') this.#damagedEnds = true
        spool = opened
        this.#trace(
          `recovery ${JSON.stringify(opened.recovery)} injected ${this.#disk.injected} reads ${this.#disk.injectedReads} flips ${this.#facts.flips}`,
        )
        this.#watch(opened)
        return opened
      },
    })
    const run: Run = { sender, exporters: [exporter], clock, spool: () => spool }
    this.#run = run
    const started = await this.#orDown(sender.start())
    this.#trace(`started ${started}, ${JSON.stringify(spool?.stats())}`)
    if (!started) {
      // The losses that it found were not reported.
      this.#damagedEnds = true
      return undefined
    }
    this.#check(run)
    return run
  }

  #exporter(clock: Clock): SinkExporter {
    return new SinkExporter(this.#sink, this.#random, clock, this.#concurrency)
  }

  #spoolLimits(): { readonly max_size: number; readonly min_free: number } {
    return { max_size: this.#limited ? 6000 : 1 << 20, min_free: this.#limited ? 500 : 0 }
  }

  #spoolOptions(): Parameters<typeof openSpool>[0] {
    return {
      dir: '/spool',
      fsync: 200,
      ...this.#spoolLimits(),
      segment_size: 1000,
      epoch: 'e',
    }
  }

  /** Records the written frames with their positions. */
  #watch(spool: Spool): void {
    const append = spool.append.bind(spool)
    const next = spool.next.bind(spool)
    spool.next = async (maxBytes, maxEvents) => {
      const result = await next(maxBytes, maxEvents)
      this.#trace(`read ${result.status === 'frames' ? JSON.stringify(result.token) : result.status}`)
      return result
    }
    spool.append = async (frames: readonly SpoolFrame[]): Promise<AppendResult> => {
      // Recorded before the write, because a kill meanwhile leaves a part of it, unreported. One append at a time.
      let at = spool.stats().end
      for (const { count, first } of frames) {
        this.#everWritten.push({ first, count, from: at, safe: false })
        at += count
      }
      const result = await append(frames)
      if (this.#run?.spool() !== spool) return result
      let from = result.from
      for (const { count, first } of result.status === 'written' ? frames : frames.slice(0, result.frames)) {
        this.#written.push({ first, count, from, safe: false })
        from += count
      }
      this.#trace(
        `append ${frames.map(({ first, count }) => `${first}x${count}`).join(' ')}: ${JSON.stringify(result)}`,
      )
      return result
    }
  }

  async #act(run: Run): Promise<void> {
    const { sender } = run
    const random = this.#random
    if (this.#reloading && random.chance(0.2)) return this.#reload(run)
    switch (random.int(10)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const count = 1 + random.int(random.chance(0.1) ? 60 : 12)
        this.#trace(`offer ${this.#nextId}x${count}`)
        void sender.offer(describedLines(this.#nextId, count, this.#clock.wallMs()))
        this.#nextId += count
        return
      }
      case 4:
        this.#sink.mood = random.pick(MOODS) ?? 'healthy'
        this.#trace(`mood ${this.#sink.mood}`)
        return
      case 5:
        if (random.chance(0.3)) this.#fault()
        return
      case 6:
        await this.#orDown(sender.reopen())
        return
      default:
        await this.#turn(random.int(random.chance(0.2) ? 5000 : 400))
    }
  }

  /** Pauses the sender while events come; then it continues, or has another sink and other limits. */
  async #reload(run: Run): Promise<void> {
    const random = this.#random
    const { sender, clock } = run
    this.#facts.reloads++
    const replaced = random.chance(0.7)
    this.#trace(`pause, then ${replaced ? 'another sink' : 'the same'}`)
    const paused = sender.pause(random.int(1500)).catch(() => undefined)
    const count = 1 + random.int(12)
    void sender.offer(describedLines(this.#nextId, count, this.#clock.wallMs()))
    this.#nextId += count
    if (!(await this.#whileTurning(paused))) return
    this.#check(run)
    if (!replaced) return void (await this.#whileTurning(sender.resume()))
    if (!(await this.#whileTurning(sender.retire()))) return
    const { queue, batch } = this.#options
    this.#options = {
      ...this.#options,
      queue: { ...queue, max_bytes: 2000 + random.int(4000), max_events: 20 + random.int(100) },
      batch: { ...batch, max_events: 2 + random.int(10), max_bytes: 200 + random.int(400) },
    }
    const exporter = this.#exporter(clock)
    run.exporters.push(exporter)
    const deadLetters = new Records(this.#recorded, random, clock)
    await this.#whileTurning(sender.resume({ exporter, config: this.#options, deadLetters }))
  }

  /** Turns the clock until the work is done. False if the disk crashed first. */
  async #whileTurning(work: Promise<unknown>): Promise<boolean> {
    const done = work.then(() => true)
    for (let i = 0; i < 100; i++) {
      if (this.#disk.down) return false
      if (await Promise.race([done, settle().then(() => false)])) return true
      await this.#turn(100)
    }
    throw new Error('a reload does not end')
  }

  async #stop(run: Run, graceMs: number): Promise<void> {
    const stopping = run.sender.stop(graceMs)
    const ended = stopping.then(() => true)
    const healthy = this.#disk.injected
    for (let i = 0; !this.#disk.down; i++) {
      await this.#turn(500)
      if (await Promise.race([ended, settle().then(() => false)])) break
      if (i > 200) throw new Error('a stop does not end')
    }
    if (this.#disk.down) return this.#end('crash')
    this.#facts.stops++
    this.#check(run)
    const { dropped, queueEvents, heldEvents } = run.sender.accounting()
    this.#trace(`stopped, ${JSON.stringify(run.sender.accounting())}`)
    if (queueEvents !== 0) throw new Error(`${queueEvents} events in memory after the stop`)
    const left = run.spool()?.stats().events ?? 0
    if (left < heldEvents) throw new Error(`${heldEvents} events held after the stop, ${left} in the spool`)
    const pardoned = this.#limited || this.#disk.injected > 0 || healthy > 0
    if (dropped.shutdown > 0 && !pardoned)
      throw new Error(`${dropped.shutdown} events dropped by a stop with a healthy disk`)
    this.#end('stop')
  }

  #end(how: 'stop' | 'kill' | 'crash'): void {
    const run = this.#run
    const stats = run?.spool()?.stats()
    if (stats?.possiblyLost === 0) {
      for (const written of this.#written) if (written.from + written.count <= stats.durable) written.safe = true
    }
    this.#noteReported()
    if (run !== undefined) {
      for (const exporter of run.exporters) exporter.dead = true
      run.clock.dead = true
    }
    this.#run = undefined
    if (how === 'kill') this.#facts.kills++
    if (how === 'crash') this.#facts.crashes++
    this.#trace(`${how}, durable ${stats?.durable}`)
    this.#disk.down = true
    const { syncFailed } = this.#disk
    const tame = this.#disk.restart(how !== 'crash') && !syncFailed
    // Unsynced frames may be lost, and their positions used again.
    if (!tame) this.#written = this.#written.filter(({ safe }) => safe)
    if (this.#flipping && this.#random.chance(0.4)) {
      if (this.#disk.flipBit(this.#random, (path) => !path.includes('quarantine')) !== undefined) this.#facts.flips++
    }
  }

  async #lastRun(): Promise<void> {
    this.#disk.faults = { ...NO_FAULTS }
    this.#sink.mood = 'healthy'
    const run = await this.#start()
    if (run === undefined) throw new Error('a start on a healthy disk did not end')
    const fresh = this.#nextId
    this.#nextId += 3
    void run.sender.offer(describedLines(fresh, 3, this.#clock.wallMs()))
    for (let i = 0; run.sender.accounting().heldEvents > 0; i++) {
      await this.#turn(500)
      this.#check(run)
      if (i > 2000) throw new Error(`${run.sender.accounting().heldEvents} events never leave a healthy chain`)
    }
    const { seen } = this.#sink
    for (let id = fresh; id < fresh + 3; id++)
      if (!seen.has(id)) throw new Error(`event ${id} did not pass after all that`)
    const done = run.sender.stop(1000)
    await this.#turn(2000)
    await done
    this.#check(run)
    this.#noteReported()
    for (const written of this.#written) this.#account(written, seen)
    // An expired event may still arrive if the process is killed before the expiry is recorded.
    if (this.#concurrency === 1 && this.#options.retry.max_age === undefined) this.#inOrder()
  }

  #account({ first, count, from, safe }: Written, seen: ReadonlySet<number>): void {
    if (!safe) return
    for (let i = 0; i < count; i++) {
      if (seen.has(first + i)) {
        this.#accountRefused(first + i)
        continue
      }
      if (!this.#reported.has(first + i) && !this.#mayBeGone())
        throw new Error(
          `event ${first + i} at ${from + i} was durable, and neither seen by the sink nor reported as lost`,
        )
    }
  }

  /** Durable events may have expired or been damaged since. */
  #mayBeGone(): boolean {
    if (this.#options.retry.max_age !== undefined) return true
    return this.#facts.flips > 0 || this.#disk.injectedReads >= 3 || this.#damagedEnds
  }

  /** An event that the sink rejected has a record; events that were dropped or expired before never reach the sink. */
  #accountRefused(id: number): void {
    const { refused, taken } = this.#sink
    if (!refused.has(id) || this.#recorded.has(id) || this.#dropped.has(id) || this.#reported.has(id)) return
    if (taken.includes(id) || this.#mayBeGone()) return
    throw new Error(`event ${id} was durable and refused, and is neither in a dead-letter record nor reported as lost`)
  }

  /** Collects the ids of the losses reported so far. */
  #noteReported(): void {
    for (const { marks } of this.#losses) {
      for (let id = marks?.first ?? 0; id <= (marks?.last ?? -1); id++) this.#reported.add(id)
    }
    for (const { first, count, from } of this.#everWritten) {
      for (const loss of this.#losses) {
        for (let at = Math.max(from, loss.from); at < Math.min(from + count, loss.to); at++)
          this.#reported.add(first + at - from)
      }
    }
  }

  #inOrder(): void {
    let last = -1
    for (const id of this.#sink.seen) {
      // Dropped because the device failed to read it, then found again by the next run.
      if (this.#reported.has(id) || this.#dropped.has(id)) continue
      if (id < last) throw new Error(`event ${id} was first seen after ${last}`)
      last = id
    }
  }

  #check({ sender, spool }: Run): void {
    const off = sender.imbalance()
    if (off !== 0) throw new Error(`the accounting is off by ${off}: ${JSON.stringify(sender.accounting())}`)
    const { accepted, delivered, rejected, dropped, heldEvents } = sender.accounting()
    const sum = delivered + heldEvents + total(rejected) + total(dropped)
    if (sum !== accepted)
      throw new Error(`accepted ${accepted}, explained ${sum}: ${JSON.stringify(sender.accounting())}`)
    void spool
  }

  #fault(): void {
    const random = this.#random
    const { faults } = this.#disk
    switch (random.int(this.#packing ? 7 : 6)) {
      case 0:
        faults.write = 0.4
        break
      case 1:
        faults.shortWrite = 0.5
        break
      case 2:
        faults.sync = 0.4
        break
      case 3:
        faults.read = 0.2
        break
      case 4:
        faults.capacity = this.#disk.used + random.int(1500)
        break
      case 6:
        this.#disk.freeze()
        break
      default:
        this.#disk.thaw()
        this.#disk.faults = { ...NO_FAULTS, crashAfter: faults.crashAfter }
    }
  }

  async #turn(ms: number): Promise<void> {
    await this.#clock.turn(ms)
    this.#disk.nowMs = this.#clock.wallMs()
  }

  /** False if the disk crashed first. */
  #orDown(work: Promise<unknown>): Promise<boolean> {
    return Promise.race([work.then(() => true), this.#disk.crashed.then(() => false)])
  }
}

interface Run {
  readonly sender: Sender
  readonly exporters: SinkExporter[]
  readonly clock: LifeClock
  readonly spool: () => Spool | undefined
}

/** The clock of one run: once the run has ended, its timers never fire. */
class LifeClock implements Clock {
  dead = false
  readonly #clock: FakeClock

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  wallMs(): number {
    return this.#clock.wallMs()
  }

  after(ms: number, run: () => void): () => void {
    return this.#clock.after(ms, () => {
      if (!this.dead) run()
    })
  }
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0)
}
