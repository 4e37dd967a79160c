/**
 * The process table in user space: images by (tgid, start time), fed by exec, fork and exit records and by the /proc
 * scan at start.
 *
 * Constraints: a record names its process by (tgid, start time) and must find it also shortly after its end (files are closed after the exit
 * record). The table is bounded in bytes, whatever programs do. So an ended or replaced image stays for GRACE_MS and is then removed; parents
 * of other images live on through that reference, not in the table. `trim` keeps the budget (budget.ts).
 */
import type { Mutable } from '../wire/values.ts'
import type { Process } from '../../exporters/contract/event.ts'
import type { RawExec, RawFork, RawMove, StartKey } from '../wire/decode.ts'
import { PROCESS_FLAGS } from '../wire/flags.ts'
import { Budget } from './budget.ts'
import { Callers } from './callers.ts'
import type { WallClock } from './clock.ts'
import type { Details } from './detail/details.ts'
import { makeImage, startOf } from './image.ts'
import type { Facts, Image, Making } from './image.ts'
import { placeAfter, placeIn } from './place.ts'
import type { Placed } from './place.ts'
import type { ScannedProcess } from './procfs.ts'
import { Renderings } from '../../exporters/index.ts'
import { binaryPath, decodeText, own, parseExecId, readArguments } from '../wire/text.ts'

const GRACE_MS = 5_000
/** Lengths to which arguments are cut, one after the other, when the budget is full. */
const CUTS = [4096, 1024, 256]
/** A program that calls exec again and again has any number of ancestors. */
const MAX_ABOVE = 32

/** Facts of an unknown process. */
const UNKNOWN: Facts = {
  flags: 0,
  binary: '',
  arguments: '',
  argv: '',
  cwd: '',
  uid: undefined,
  auid: undefined,
  docker: '',
  inInitTree: undefined,
}

/** Parts of processes that are kept only if the config enables them. */
export interface OptionalParts {
  readonly details?: Details | undefined
  /** The images above the parent. */
  readonly ancestors?: boolean
}

export class ProcessTable {
  readonly #budget: Budget
  readonly #making: Making
  /** For processes that are not in the table: their objects live for one record, so nothing is cached with them. */
  readonly #makingUnknown: Making
  /** The latest image of each pid, oldest image first. */
  readonly #images = new Map<number, Image>()
  /** Ended and replaced images, ordered by the end of their grace time. */
  readonly #leaving: Array<{ pid: number; image: Image; atMs: number }> = []
  /** The image of the kernel: the parent of processes without another. */
  readonly kernel: Image
  readonly #wanted: OptionalParts
  readonly callers: Callers

  /** `bytes`: the budget of images and renderings together. */
  constructor(node: string, clock: WallClock, bytes: number, wanted: OptionalParts = {}) {
    this.#wanted = wanted
    this.callers = new Callers(wanted.details)
    this.#budget = new Budget(bytes, node, wanted.ancestors === true ? 8 * MAX_ABOVE : 0)
    this.#making = { node, clock, renderings: this.#budget.renderings }
    this.#makingUnknown = { node, clock, renderings: new Renderings(0) }
    const about = { flags: PROCESS_FLAGS.procFS, binary: '<kernel>', cwd: '/', uid: 0, auid: 4294967295 }
    this.kernel = this.#image(0, 1n, undefined, { ...UNKNOWN, ...about })
    this.#start(0, this.kernel)
  }

  get size(): number {
    return this.#images.size
  }

  /** Limit, use and evictions. */
  get budget(): Pick<Budget, 'limitBytes' | 'bytes' | 'evictions' | 'hasRoom'> {
    return this.#budget
  }

  /** The latest image of each pid, oldest first; the table may change during the iteration. */
  latest(): MapIterator<Image> {
    return this.#images.values()
  }

  /** The image of a record; start time 0 (unknown to the kernel's table) means the pid's latest. */
  find(tgid: number, startLo: number, startHi: number): Image | undefined {
    let image = this.#images.get(tgid)
    if (startLo === 0 && startHi === 0) return image
    while (image !== undefined && (image.startLo !== startLo || image.startHi !== startHi)) image = image.previous
    return image
  }

  /** The process with this `exec_id`, while it is in the table. */
  named(execId: string): Process | undefined {
    const { startNs = 0n, pid = 0 } = parseExecId(execId) ?? {}
    const { process } = this.find(pid, Number(startNs & 0xffff_ffffn), Number(startNs >> 32n)) ?? {}
    return process?.execId === execId ? process : undefined
  }

  /** `find`, else a placeholder like Tetragon's: pid, start time and the flag `unknown` (docs/reference/records/process.md). */
  findOrUnknown(tgid: number, startLo: number, startHi: number): Image {
    const known = this.find(tgid, startLo, startHi)
    if (known !== undefined) return known
    const image = makeImage(this.#makingUnknown, tgid, startOf(startLo, startHi), undefined, UNKNOWN)
    return { ...image, process: { ...image.process, execId: '', flags: 'unknown' } }
  }

  addScanned(scanned: ScannedProcess): Image {
    const parent = this.#images.get(scanned.parentPid) ?? this.kernel
    return this.#start(scanned.pid, this.#scanned(scanned, scanned.startNs, parent))
  }

  /** Adds a process whose records were lost: as read from /proc, but with start time and parent of the kernel's table. */
  adopt(scanned: ScannedProcess, startNs: bigint, parentTgid: number, parentStart: StartKey, nowMs: number): Image {
    const parent = this.#parent(parentTgid, parentStart)
    const replaced = this.#images.get(scanned.pid)
    const image = this.#start(scanned.pid, this.#scanned(scanned, startNs, parent))
    if (replaced !== undefined) this.#release(scanned.pid, replaced, nowMs)
    return image
  }

  #scanned(scanned: ScannedProcess, startNs: bigint, parent: Image): Image {
    return this.#image(scanned.pid, startNs, parent, {
      ...scanned,
      ...placeIn(scanned.cgroup.split('/').toReversed()),
      details: this.#wanted.details?.running(scanned.pid),
      inInitTree: inInitTree(scanned.nspid, parent),
    })
  }

  /** undefined when the parent is unknown: the child is a copy of it. */
  fork(raw: RawFork, nowMs: number): Image | undefined {
    // A reused pid has ended before, even if its exit record was lost.
    const before = this.#images.get(raw.tgid)
    if (before !== undefined) this.#release(raw.tgid, before, nowMs)
    const parent = this.find(raw.parentTgid, raw.parentStart.lo, raw.parentStart.hi) ?? this.#images.get(raw.parentTgid)
    if (parent === undefined) return undefined
    const copy = parent.process
    return this.#start(
      raw.tgid,
      this.#image(raw.tgid, startOf(raw.startLo, raw.startHi), parent, {
        // A child that has not exec'd is its parent's copy; the internal clone bit prints as "execve".
        flags: PROCESS_FLAGS.execve | (parent.flags & PROCESS_FLAGS.truncArgs),
        binary: copy.binary,
        unlinkedInode: copy.unlinkedInode,
        arguments: copy.arguments,
        argv: copy.argv,
        cwd: copy.cwd,
        uid: copy.uid,
        auid: copy.auid,
        nspid: raw.nspid,
        ...placeAfter(raw, copy),
        execProbe: copy.execProbe === true,
        inInitTree: inInitTree(raw.nspid, parent),
        forked: true,
        details: parent.details,
        texts: parent.texts,
      }),
    )
  }

  exec(raw: RawExec, nowMs: number): Image {
    const parent = this.#parent(raw.parentTgid, raw.parentStart)
    const replaced = this.#images.get(raw.tgid)
    const cwd = (raw.flags & PROCESS_FLAGS.rootcwd) !== 0 ? '/' : decodeText(raw.cwd).text
    const { docker, podUid } = placeAfter(raw, (replaced ?? parent).process)
    const image = this.#image(raw.tgid, startOf(raw.startLo, raw.startHi), parent, {
      flags: raw.flags,
      binary: own(binaryPath(decodeText(raw.filename).text, decodeText(raw.path).text)),
      unlinkedInode: raw.fileLinks === 0 && raw.fileIno !== 0n ? raw.fileIno : undefined,
      ...readArguments(raw.argv),
      cwd,
      uid: raw.euid,
      auid: raw.auid,
      nspid: raw.nspid,
      docker,
      podUid,
      details: this.#wanted.details?.executed(raw.detail),
      inInitTree: inInitTree(raw.nspid, parent),
    })
    this.#start(raw.tgid, image)
    if (replaced !== undefined) this.#release(raw.tgid, replaced, nowMs)
    return image
  }

  /** A process was moved to another cgroup. Events from before it stay as they are. */
  move(raw: RawMove): void {
    const image = this.find(raw.tgid, raw.startLo, raw.startHi)
    const place = image && placeAfter(raw, image.process)
    if (image === undefined || place === undefined || place.docker === image.process.docker) return
    image.process.rendered.drop()
    image.process = { ...image.process, ...place, execProbe: false, rendered: this.#budget.renderings.make() }
  }

  /** Adds facts about the place of a process. */
  identify(process: Process, known: Partial<Placed>): void {
    const changed: Mutable<Process> = process
    Object.assign(changed, known)
    process.rendered.drop()
  }

  /** undefined when the process is unknown. */
  exit(tgid: number, startLo: number, startHi: number, nowMs: number): Image | undefined {
    const image = this.find(tgid, startLo, startHi)
    if (image !== undefined) this.#release(tgid, image, nowMs)
    return image
  }

  /** Removes images whose grace time is over; call it every few seconds. */
  sweep(nowMs: number): void {
    let gone = 0
    for (const { pid, image, atMs } of this.#leaving) {
      if (atMs > nowMs) break
      gone++
      this.#forget(pid, image)
    }
    if (gone > 0) this.#leaving.splice(0, gone)
  }

  /**
   * Keeps the table within its budget; call it after each chunk, when its events are encoded. Evicts renderings first, then cuts long
   * arguments, then evicts ended images, then the oldest images.
   */
  trim(): void {
    if (this.#budget.isFull) this.#evict()
    this.#budget.settle()
  }

  #evict(): void {
    const budget = this.#budget
    for (const characters of CUTS) {
      this.#cutArguments(characters)
      if (budget.hasRoom) return
    }
    let ended = 0
    for (const { pid, image } of this.#leaving) {
      if (budget.hasRoom) break
      ended++
      budget.evictedImages++
      this.#forget(pid, image)
    }
    this.#leaving.splice(0, ended)
    for (const [pid, image] of this.#images) {
      if (budget.hasRoom) return
      if (image === this.kernel) continue
      this.#end(image)
      budget.evictedImages++
      this.#forget(pid, image)
    }
  }

  #cutArguments(characters: number): void {
    for (const latest of this.#images.values()) {
      for (let image: Image | undefined = latest; image !== undefined; image = image.previous) {
        this.#budget.cut(image, characters)
        if (image.parent !== undefined) this.#budget.cut(image.parent, characters)
      }
    }
  }

  #forget(pid: number, image: Image): void {
    this.#budget.leave(image)
    if (this.#images.get(pid) === image) this.#images.delete(pid)
    if (image.newer !== undefined) image.newer.previous = image.previous
    if (image.previous !== undefined) image.previous.newer = image.newer
    // A child's reference to it must not keep its neighbours alive.
    image.newer = undefined
    image.previous = undefined
  }

  #parent(tgid: number, start: StartKey): Image {
    return this.find(tgid, start.lo, start.hi) ?? this.#images.get(tgid) ?? this.kernel
  }

  #start(pid: number, image: Image): Image {
    if (image.parent !== undefined) image.parent.process.refcnt++
    const before = this.#images.get(pid)
    if (before !== undefined) {
      image.previous = before
      before.newer = image
      // Reinsert: the order is by age of the image, not of the pid.
      this.#images.delete(pid)
    }
    this.#images.set(pid, image)
    this.#budget.enter(image)
    return image
  }

  #release(pid: number, image: Image, nowMs: number): void {
    if (image.ended) return
    this.#end(image)
    this.#leaving.push({ pid, image, atMs: nowMs + GRACE_MS })
  }

  #end(image: Image): void {
    image.ended = true
    image.process.refcnt--
    if (image.parent !== undefined) image.parent.process.refcnt--
  }

  #image(pid: number, startNs: bigint, parent: Image | undefined, of: Facts): Image {
    const image = makeImage(this.#making, pid, startNs, parent, of)
    if (this.#wanted.ancestors === true && parent?.parent !== undefined)
      image.above = [parent.parent, ...parent.above].slice(0, MAX_ABOVE)
    return image
  }
}

/** Only processes that are not in the host's namespace have a pid of their own. */
function inInitTree(nspid: number, parent: Image): boolean {
  return nspid === 1 || parent.process.inInitTree === true
}
