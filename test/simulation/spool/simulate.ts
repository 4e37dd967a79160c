/**
 * One random life of a spool: several runs on one disk, each with appends, reads, acks, faults, and an end that is a
 * crash, a kill or a close; then a last run without faults that reads everything. The model is a list of the appends.
 *
 * Invariants: every start succeeds; content and order are those of the appends; events that were durable and not acked are
 * read in the end or are part of a reported loss with a cause; the accounting balances at every moment.
 */
import { openSpool } from '../../../exporters/buffer/disk/spool.ts'
import type { Spool, SpoolOptions } from '../../../exporters/buffer/disk/spool.ts'
import type { Loss } from '../../../exporters/buffer/disk/tally.ts'
import type { ReadFrame } from '../../../exporters/buffer/disk/place.ts'
import type { Token } from '../../../exporters/buffer/disk/reader.ts'
import type { SpoolFrame } from '../../../exporters/buffer/disk/format/segment.ts'
import type { SpoolFile, SpoolFiles } from '../../../exporters/buffer/disk/files/files.ts'
import { FakeClock, settle } from '../../unit/exporters/support/fake-clock.ts'
import { Disk, NO_FAULTS } from './disk.ts'
import { Seeded } from './random.ts'

const DIR = '/spool'
const CRASHED = Symbol('crashed')

/** The faults and results of a life, so that a script can show that faults really happened. */
export interface RunFacts {
  readonly crashes: number
  readonly injected: number
  readonly flips: number
  readonly delivered: number
  readonly lost: number
  readonly appended: number
}

interface Appended {
  readonly id: number
  readonly count: number
  readonly payload: Buffer
  /** undefined: refused, or no answer came before the crash. */
  seq: number | undefined
  safe: boolean
  acked: boolean
  readAtEnd: boolean
}

interface Out {
  readonly token: Token
  readonly frames: readonly Appended[]
}

/** Runs the life with this seed; rejects with the reason if an invariant fails. */
export async function simulate(seed: number, trace?: (line: string) => void): Promise<RunFacts> {
  return new Life(seed, trace).run()
}

class Life {
  readonly #random: Seeded
  readonly #disk: Disk
  readonly #clock = new FakeClock()
  readonly #options: SpoolOptions
  readonly #flipping: boolean
  readonly #limited: boolean
  readonly #trace: ((line: string) => void) | undefined
  readonly #frames: Appended[] = []
  readonly #losses: Loss[] = []
  #spool: Spool | undefined
  #out: Out[] = []
  #lastId = -1
  #lastDurable = 0
  #damagedEnds = false
  #flips = 0
  #crashes = 0
  #delivered = 0

  constructor(seed: number, trace: ((line: string) => void) | undefined) {
    this.#trace = trace
    const random = new Seeded(seed)
    this.#random = random
    this.#disk = new Disk(random)
    this.#flipping = random.chance(0.3)
    this.#limited = random.chance(0.3)
    this.#options = {
      dir: DIR,
      fsync: random.pick([200, 200, 'batch', 'never'] as const) ?? 'batch',
      max_size: this.#limited ? 1200 + random.int(3000) : 1 << 20,
      min_free: this.#limited ? random.int(2000) : 0,
      segment_size: 200 + random.int(800),
      epoch: `e${seed}`,
      ...(this.#limited && random.chance(0.5) ? { max_age: 500 + random.int(5000) } : {}),
    }
  }

  async run(): Promise<RunFacts> {
    const lives = 1 + this.#random.int(4)
    for (let i = 0; i < lives; i++) await this.#live()
    await this.#last()
    return {
      crashes: this.#crashes,
      injected: this.#disk.injected,
      flips: this.#flips,
      delivered: this.#delivered,
      lost: this.#losses.length,
      appended: this.#frames.length,
    }
  }

  async #live(): Promise<void> {
    const random = this.#random
    if (random.chance(0.2)) this.#fault()
    if (random.chance(0.7)) this.#disk.faults.crashAfter = this.#disk.steps + random.int(150)
    if ((await this.#open()) === CRASHED) return this.#crash()
    for (let ops = 3 + random.int(20); ops > 0; ops--) {
      if ((await this.#orCrash(this.#act())) === CRASHED || this.#disk.down) return this.#crash()
      this.#check()
    }
    if (random.chance(0.4)) {
      if ((await this.#orCrash(this.#spool?.close() ?? Promise.resolve())) === CRASHED) return this.#crash()
      this.#noteDurable()
      this.#restart(random.chance(0.5))
      return
    }
    this.#crash()
  }

  async #open(): Promise<unknown> {
    this.#out = []
    this.#lastId = -1
    this.#lastDurable = 0
    this.#spool = undefined
    this.#disk.nowMs = this.#clock.wallMs()
    const opening = openSpool(this.#options, {
      files: this.#trace === undefined ? this.#disk.files : traced(this.#disk.files, this.#trace),
      clock: this.#clock,
      random: this.#random.next,
      onLoss: (loss) => {
        this.#trace?.(`loss ${JSON.stringify(loss)}`)
        this.#losses.push(loss)
      },
    })
    const opened = await this.#orCrash(opening)
    if (opened === CRASHED) {
      // The losses that it found were not reported.
      this.#damagedEnds = true
      return CRASHED
    }
    const spool = await opening
    this.#trace?.(`opened ${JSON.stringify(spool.recovery)} ${JSON.stringify(spool.stats())}`)
    this.#spool = spool
    this.#lastDurable = spool.stats().durable
    // Damage that cannot be counted in events: at the very end, of a whole header, or of the cursor.
    const { tornBytes, quarantined, cursor } = spool.recovery
    if (tornBytes > 0 || quarantined.length > 0 || cursor === 'corrupt') this.#damagedEnds = true
    this.#check()
    return undefined
  }

  /** The result, or CRASHED if the disk crashed first. */
  #orCrash<T>(work: Promise<T>): Promise<T | typeof CRASHED> {
    return Promise.race([work, this.#disk.crashed.then((): typeof CRASHED => CRASHED)])
  }

  #crash(): void {
    this.#noteDurable()
    this.#trace?.(`crash, durable ${this.#spool?.stats().durable}`)
    this.#crashes++
    this.#disk.down = true
    this.#restart(this.#random.chance(0.3))
  }

  #restart(wantTame: boolean): void {
    this.#spool = undefined
    // A kill during the rewrite after a failed sync may lose unsynced frames.
    const { syncFailed } = this.#disk
    const tame = this.#disk.restart(wantTame) && !syncFailed
    // Whether unsynced frames still exist, and where, is only known after reading.
    if (!tame) for (const frame of this.#frames) if (!frame.safe) frame.seq = undefined
    this.#flip()
  }

  #flip(): void {
    if (!this.#flipping || !this.#random.chance(0.5)) return
    if (this.#disk.flipBit(this.#random, (path) => !path.includes('quarantine')) !== undefined) this.#flips++
  }

  #noteDurable(): void {
    const stats = this.#spool?.stats()
    if (stats === undefined || stats.possiblyLost > 0) return
    const { durable } = stats
    for (const frame of this.#frames) {
      if (frame.seq !== undefined && frame.seq + frame.count <= durable) frame.safe = true
    }
  }

  #fault(): void {
    const random = this.#random
    const { faults } = this.#disk
    switch (random.int(7)) {
      case 0:
        faults.write = 0.3
        break
      case 1:
        faults.shortWrite = 0.5
        break
      case 2:
        faults.sync = random.chance(0.3) ? 1 : 0.4
        break
      case 3:
        faults.other = 0.3
        break
      case 4:
        faults.read = 0.2
        break
      case 5:
        faults.capacity = this.#disk.used + random.int(600)
        break
      default:
        this.#disk.faults = { ...NO_FAULTS, crashAfter: faults.crashAfter }
    }
  }

  async #act(): Promise<void> {
    const random = this.#random
    const spool = this.#spool
    if (spool === undefined) return
    switch (random.int(11)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const appending = this.#append(spool)
        if (random.chance(0.7)) await appending
        return
      }
      case 4:
      case 5:
        await this.#read(spool)
        return
      case 6:
        await this.#read(spool)
        if (random.chance(0.7)) this.#ack(spool, this.#out.length - 1)
        return
      case 7:
        this.#ack(spool, random.int(this.#out.length + 1))
        return
      case 8: {
        const syncing = spool.sync()
        if (random.chance(0.5)) await syncing
        return
      }
      case 9:
        await this.#turn(random.chance(0.1) ? 3000 : random.int(500))
        return
      default:
        this.#fault()
    }
  }

  async #turn(ms: number): Promise<void> {
    await this.#clock.turn(ms)
    this.#disk.nowMs = this.#clock.wallMs()
  }

  async #append(spool: Spool): Promise<void> {
    const random = this.#random
    const made: Appended[] = Array.from({ length: 1 + random.int(3) }, (_, i) => {
      const id = this.#frames.length + i
      const payload = Buffer.alloc(4 + random.int(random.chance(0.1) ? 600 : 60), id & 0xff)
      payload.writeUInt32LE(id)
      return { id, count: 1 + random.int(5), payload, seq: undefined, safe: false, acked: false, readAtEnd: false }
    })
    this.#frames.push(...made)
    const result = await spool.append(made.map(frameOf))
    // An answer after the crash reaches no caller.
    if (this.#spool !== spool) return
    this.#trace?.(`append ${made.map(({ id, count }) => `${id}x${count}`).join(' ')}: ${JSON.stringify(result)}`)
    let written = made.length
    let seq = 0
    if (result.status === 'written') {
      const { bytes } = spool.stats()
      if (bytes > this.#options.max_size) throw new Error(`${bytes} bytes, allowed are ${this.#options.max_size}`)
      seq = result.from
      if (result.end - result.from !== sum(made))
        throw new Error(`${result.end - result.from} positions for ${sum(made)} events`)
    } else {
      written = result.frames
      if (result.status === 'failed' && this.#disk.injected === 0) throw result.error
      if (result.status === 'full' && this.#disk.injected === 0 && !this.#limited)
        throw new Error(`full (${result.why}) without a cause`)
      // The positions of written frames are not reported; their content identifies them.
      for (const frame of made.slice(0, written)) frame.seq = undefined
      return
    }
    for (const frame of made) {
      frame.seq = seq
      seq += frame.count
    }
  }

  async #read(spool: Spool): Promise<'empty' | 'failed' | 'frames'> {
    const result = await spool.next(1 + this.#random.int(400))
    if (this.#spool !== spool) return 'empty'
    this.#trace?.(`read ${result.status === 'frames' ? JSON.stringify(result.token) : result.status}`)
    if (result.status !== 'frames') {
      if (result.status === 'failed' && this.#disk.injected === 0) throw result.error
      return result.status
    }
    const frames = result.frames.map((frame) => this.#recognise(frame))
    this.#out.push({ token: result.token, frames })
    return 'frames'
  }

  #recognise(read: ReadFrame): Appended {
    const id = read.payload.length >= 4 ? read.payload.readUInt32LE(0) : -1
    const frame = this.#frames[id]
    if (frame === undefined || !frame.payload.equals(read.payload))
      throw new Error(`read what was never appended at ${read.seq}`)
    if (frame.count !== read.count || read.first !== id * 10 || read.last !== id * 10 + 9)
      throw new Error(`frame ${id} has another head`)
    if (frame.seq !== undefined && frame.seq !== read.seq)
      throw new Error(`frame ${id} moved from ${frame.seq} to ${read.seq}`)
    if (read.epoch !== this.#options.epoch) throw new Error(`frame ${id} has epoch "${read.epoch}"`)
    if (id <= this.#lastId) throw new Error(`frame ${id} came after ${this.#lastId}`)
    frame.seq = read.seq
    this.#lastId = id
    this.#delivered++
    return frame
  }

  #ack(spool: Spool, index: number): void {
    const [out] = this.#out.splice(index, 1)
    if (out === undefined || this.#spool !== spool) return
    spool.ack(out.token)
    for (const frame of out.frames) frame.acked = true
  }

  #check(): void {
    const spool = this.#spool
    if (spool === undefined) return
    const stats = spool.stats()
    if (stats.imbalance !== 0) throw new Error(`the accounts are off by ${stats.imbalance}`)
    if (stats.durable < this.#lastDurable || stats.durable > stats.end)
      throw new Error(`durable went from ${this.#lastDurable} to ${stats.durable}, end is ${stats.end}`)
    this.#lastDurable = stats.durable
  }

  /** No faults any more: everything left is read. */
  async #last(): Promise<void> {
    this.#disk.faults = { ...NO_FAULTS }
    await this.#open()
    const spool = this.#spool
    if (spool === undefined) throw new Error('no spool')
    for (let rounds = 0; ; rounds++) {
      const status = await this.#read(spool)
      if (status === 'failed') throw new Error('a read failed on a healthy disk')
      if (status === 'empty') break
      for (const frame of this.#out.at(-1)?.frames ?? []) frame.readAtEnd = true
      this.#ack(spool, this.#out.length - 1)
      this.#check()
      if (rounds > 10_000) throw new Error('reading does not end')
    }
    const { events } = spool.stats()
    if (events !== 0) throw new Error(`${events} events remain though all was read`)
    await this.#works(spool)
    for (const frame of this.#frames) this.#account(frame)
    await spool.close()
    await settle()
    const left = this.#disk.paths.filter((path) => path.endsWith('.tmp'))
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  }

  /** At the end a new event passes. */
  async #works(spool: Spool): Promise<void> {
    const before = this.#frames.length
    await this.#append(spool)
    await spool.sync()
    const { durable, end } = spool.stats()
    if (durable !== end) throw new Error('a sync on a healthy disk made not everything durable')
    while ((await this.#read(spool)) === 'frames') this.#ack(spool, this.#out.length - 1)
    if (this.#lastId !== this.#frames.length - 1 || this.#frames.length === before)
      throw new Error('a new frame did not pass')
  }

  #account(frame: Appended): void {
    if (!frame.safe || frame.acked || frame.readAtEnd || frame.seq === undefined) return
    const { seq, count } = frame
    const covering = this.#losses.filter(({ from, to }) => from <= seq && seq + count <= to)
    const damaged = this.#flips > 0 || this.#disk.injectedReads >= 3
    const excused = covering.some(({ reason }) => reason !== 'corrupt' || damaged || this.#limited)
    if (!excused && !(damaged && this.#damagedEnds)) {
      const lost = this.#losses.map(({ reason, from, to }) => `${reason} ${from}-${to}`).join(', ')
      throw new Error(`frame ${frame.id} at ${seq} was durable and is gone (losses reported: ${lost || 'none'})`)
    }
    if (covering.some(({ reason }) => reason !== 'corrupt') && !this.#limited)
      throw new Error('dropped for a limit that is not set')
  }
}

function frameOf(frame: Appended): SpoolFrame {
  const { id, count, payload } = frame
  // In two parts, like a head and a body.
  return { parts: [payload.subarray(0, 3), payload.subarray(3)], count, first: id * 10, last: id * 10 + 9 }
}

function sum(frames: readonly Appended[]): number {
  return frames.reduce((all, { count }) => all + count, 0)
}

/** `files` with a trace of the operations. Adds no turn of the event loop: that would change the run. */
function traced(files: SpoolFiles, report: (line: string) => void): SpoolFiles {
  const reported = <T>(what: string, work: Promise<T>): Promise<T> => {
    void work.then(
      (result) => report(`  ${what}${typeof result === 'number' ? ` = ${result}` : ''}`),
      (error: unknown) => report(`  ${what} failed: ${String(error)}`),
    )
    return work
  }
  return {
    ...files,
    rename: (from, to) => reported(`rename ${from} ${to}`, files.rename(from, to)),
    unlink: (path) => reported(`unlink ${path}`, files.unlink(path)),
    syncFolder: (path) => reported(`sync ${path}`, files.syncFolder(path)),
    open(path, how): Promise<SpoolFile> {
      const opening = reported(`open ${path} ${how}`, files.open(path, how))
      void opening.then(
        (file) => Object.assign(file, tracedFile(path, { ...file }, reported)),
        () => undefined,
      )
      return opening
    },
  }
}

function tracedFile(
  path: string,
  file: SpoolFile,
  reported: <T>(what: string, work: Promise<T>) => Promise<T>,
): SpoolFile {
  return {
    ...file,
    write: (buffers, position) => reported(`write ${path} at ${position}`, file.write(buffers, position)),
    read: (into, position) => reported(`read ${path} at ${position}`, file.read(into, position)),
    sync: () => reported(`sync ${path}`, file.sync()),
    truncate: (size) => reported(`truncate ${path} to ${size}`, file.truncate(size)),
  }
}
