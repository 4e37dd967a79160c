/**
 * The process table in user space: images by (tgid, start time), fed by exec, fork and exit records and by the /proc
 * scan at start.
 *
 * Constraints: a record names its process by (tgid, start time) and must find it also shortly after it ended (files are
 * closed after the exit record); a table of a busy host must not grow without bound. So an ended or replaced image stays
 * GRACE_MS, then goes; images that others name as their parent live on through that reference, not through the table.
 */
import type { Process, Timestamp } from '../event.ts'
import type { RawExec, RawFork, StartKey } from '../decode.ts'
import { PROCESS_FLAGS } from '../wire.ts'
import type { WallClock } from './clock.ts'
import { binaryPath, containerId, decodeText, execId, flagWords, joinArguments } from './text.ts'

const GRACE_MS = 5_000

/** An image with what the table needs to know beside the record's fields. */
export interface Image {
  readonly process: Process
  /** Cleared when the image has left the table: else a process that execs for ever would keep all it ever was. */
  parent: Image | undefined
  readonly startLo: number
  readonly startHi: number
  readonly flags: number
  /** The image that this pid ran before, while it is in its grace time, and the one after. */
  previous: Image | undefined
  newer: Image | undefined
  ended: boolean
}

/** What a start-up scan knows of a process. */
export interface ScannedProcess {
  readonly pid: number
  readonly parentPid: number
  readonly startNs: bigint
  readonly uid: number
  readonly auid: number
  readonly nspid: number
  readonly flags: number
  readonly binary: string
  readonly arguments: string
  readonly cwd: string
  readonly cgroup: string
  readonly kernelThread: boolean
}

const LOW = 0xffff_ffffn
const joined = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo)

export class ProcessTable {
  readonly #node: string
  readonly #clock: WallClock
  readonly #images = new Map<number, Image>()
  /** Ended and replaced images in the order in which their grace ends. */
  readonly #leaving: Array<{ pid: number; image: Image; atMs: number }> = []
  readonly #kernel: Image

  constructor(node: string, clock: WallClock) {
    this.#node = node
    this.#clock = clock
    this.#kernel = this.#image(0, 1n, undefined, {
      flags: PROCESS_FLAGS.procFS,
      binary: '<kernel>',
      arguments: '',
      cwd: '/',
      uid: 0,
      auid: 4294967295,
      docker: '',
      inInitTree: undefined,
    })
    this.#images.set(0, this.#kernel)
  }

  get size(): number {
    return this.#images.size
  }

  /** The image of a record; start time 0 (unknown to the kernel's table) means the pid's latest. */
  find(tgid: number, startLo: number, startHi: number): Image | undefined {
    let image = this.#images.get(tgid)
    if (startLo === 0 && startHi === 0) return image
    while (image !== undefined && (image.startLo !== startLo || image.startHi !== startHi)) image = image.previous
    return image
  }

  /** `find`, or a placeholder as Tetragon's: pid, start time and the flag `unknown` (tetragon.md §3.3). */
  findOrUnknown(tgid: number, startLo: number, startHi: number): Image {
    const known = this.find(tgid, startLo, startHi)
    if (known !== undefined) return known
    const image = this.#image(tgid, joined(startLo, startHi), undefined, {
      flags: 0,
      binary: '',
      arguments: '',
      cwd: '',
      uid: undefined,
      auid: undefined,
      docker: '',
      inInitTree: undefined,
    })
    return { ...image, process: { ...image.process, execId: '', flags: 'unknown' } }
  }

  addScanned(scanned: ScannedProcess): Image {
    const parent = this.#images.get(scanned.parentPid) ?? this.#kernel
    const docker = containerId(scanned.cgroup)
    return this.#start(
      scanned.pid,
      this.#image(scanned.pid, scanned.startNs, parent, {
        flags: scanned.flags,
        binary: scanned.binary,
        arguments: scanned.arguments,
        cwd: scanned.cwd,
        uid: scanned.uid,
        auid: scanned.auid,
        docker,
        inInitTree: inInitTree(docker, scanned.nspid, parent),
      }),
    )
  }

  fork(raw: RawFork, nowMs: number): Image {
    // A pid that is used again has ended, even when its exit record was lost.
    const before = this.#images.get(raw.tgid)
    if (before !== undefined) this.#release(raw.tgid, before, nowMs)
    const parent = this.#parent(raw.parentTgid, raw.parentStart)
    const copy = parent.process
    return this.#start(
      raw.tgid,
      this.#image(raw.tgid, joined(raw.startLo, raw.startHi), parent, {
        // A child that has not exec'd is its parent's copy; the internal clone bit prints as "execve".
        flags: PROCESS_FLAGS.execve,
        binary: copy.binary,
        arguments: copy.arguments,
        cwd: copy.cwd,
        uid: copy.uid,
        auid: copy.auid,
        docker: copy.docker,
        inInitTree: copy.inInitTree,
        forked: true,
      }),
    )
  }

  exec(raw: RawExec, nowMs: number): Image {
    const parent = this.#parent(raw.parentTgid, raw.parentStart)
    const replaced = this.#images.get(raw.tgid)
    const cwd = (raw.flags & PROCESS_FLAGS.rootcwd) !== 0 ? '/' : decodeText(raw.cwd).text
    const docker = containerId(decodeText(raw.cgroup).text)
    const image = this.#image(raw.tgid, joined(raw.startLo, raw.startHi), parent, {
      flags: raw.flags,
      binary: binaryPath(decodeText(raw.filename).text, cwd),
      arguments: joinArguments(raw.argv),
      cwd,
      uid: raw.euid,
      auid: raw.auid,
      docker,
      inInitTree: inInitTree(docker, raw.nspid, parent),
    })
    this.#start(raw.tgid, image)
    if (replaced !== undefined) this.#release(raw.tgid, replaced, nowMs)
    return image
  }

  /** undefined when the process was never seen. */
  exit(tgid: number, startLo: number, startHi: number, nowMs: number): Image | undefined {
    const image = this.find(tgid, startLo, startHi)
    if (image !== undefined) this.#release(tgid, image, nowMs)
    return image
  }

  /** Forgets images whose grace is over; call it now and then. */
  sweep(nowMs: number): void {
    let gone = 0
    for (const { pid, image, atMs } of this.#leaving) {
      if (atMs > nowMs) break
      gone++
      image.parent = undefined
      if (this.#images.get(pid) === image) this.#images.delete(pid)
      if (image.newer !== undefined) image.newer.previous = image.previous
      if (image.previous !== undefined) image.previous.newer = image.newer
      // A child that names it as its parent must not keep its neighbours too.
      image.newer = undefined
      image.previous = undefined
    }
    if (gone > 0) this.#leaving.splice(0, gone)
  }

  #parent(tgid: number, start: StartKey): Image {
    return this.find(tgid, start.lo, start.hi) ?? this.#images.get(tgid) ?? this.#kernel
  }

  #start(pid: number, image: Image): Image {
    if (image.parent !== undefined) image.parent.process.refcnt++
    const before = this.#images.get(pid)
    if (before !== undefined) {
      image.previous = before
      before.newer = image
    }
    this.#images.set(pid, image)
    return image
  }

  #release(pid: number, image: Image, nowMs: number): void {
    if (image.ended) return
    image.ended = true
    image.process.refcnt--
    if (image.parent !== undefined) image.parent.process.refcnt--
    this.#leaving.push({ pid, image, atMs: nowMs + GRACE_MS })
  }

  #image(
    pid: number,
    startNs: bigint,
    parent: Image | undefined,
    of: Pick<Process, 'binary' | 'arguments' | 'cwd' | 'uid' | 'auid' | 'docker' | 'inInitTree'> & {
      flags: number
      forked?: boolean
    },
  ): Image {
    const startTime: Timestamp = this.#clock.atNs(startNs)
    const flags = of.inInitTree === true ? of.flags | PROCESS_FLAGS.inInitTree : of.flags
    return {
      process: {
        execId: execId(this.#node, startNs, pid),
        parentExecId: parent?.process.execId ?? '',
        pid,
        uid: of.uid,
        auid: of.auid,
        cwd: of.cwd,
        binary: of.binary,
        arguments: of.arguments,
        flags: flagWords(flags),
        startTime,
        docker: of.docker,
        inInitTree: of.inInitTree,
        refcnt: 1,
        forked: of.forked === true,
        rendered: { json: undefined, jsonParent: undefined, otlp: undefined, otlpParent: undefined },
      },
      parent,
      startLo: Number(startNs & LOW),
      startHi: Number(startNs >> 32n),
      flags,
      previous: undefined,
      newer: undefined,
      ended: false,
    }
  }
}

function inInitTree(docker: string, nspid: number, parent: Image): boolean {
  return (docker !== '' && nspid === 1) || parent.process.inInitTree === true
}
