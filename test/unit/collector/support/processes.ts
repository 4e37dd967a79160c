/** A process table with a fake clock, and the records that feed it. */
import type { CgroupNames, RawExec, RawFork, RawMove } from '../../../../collector/wire/decode.ts'
import { CGROUP_CUT, CGROUP_KEPT, CGROUP_WHOLE, PROCESS_DETAIL } from '../../../../collector/wire/wire.ts'
import { WallClock } from '../../../../collector/process/clock.ts'
import { ProcessTable } from '../../../../collector/process/table.ts'
import type { OptionalParts } from '../../../../collector/process/table.ts'
import type { ScannedProcess } from '../../../../collector/process/procfs.ts'
import { PROCESS_FLAGS } from '../../../../collector/wire/flags.ts'

export const NODE = 'node-1'
/** CLOCK_REALTIME − CLOCK_BOOTTIME: 2024-04-14T02:51:22Z minus nothing, to keep sums readable. */
export const OFFSET_NS = 1_713_063_082_000_000_000n

export function newTable(bytes = 128 << 20, wanted?: OptionalParts): ProcessTable {
  return new ProcessTable(NODE, new WallClock(() => OFFSET_NS), bytes, wanted)
}

const base = { cpu: 0, seq: 0, sec: 0, nsec: 0, startHi: 0 }

export function fork(tgid: number, start: number, parent: number, parentStart: number, nspid = 0): RawFork {
  const parentKey = { lo: parentStart, hi: 0 }
  return {
    op: 'fork',
    ...base,
    tgid,
    tid: tgid,
    startLo: start,
    parentTgid: parent,
    parentStart: parentKey,
    nspid,
    ...names(undefined),
  }
}

/** The record's names of cgroups; undefined: it has none, because they are the parent's. */
export function names(cgroup: readonly string[] | undefined, cut = false): CgroupNames {
  return {
    cgroup: Buffer.from((cgroup ?? []).map((name) => `${name}\0`).join('')),
    cgroupState: cgroup === undefined ? CGROUP_KEPT : cut ? CGROUP_CUT : CGROUP_WHOLE,
  }
}

export function move(tgid: number, start: number, cgroup: readonly string[], cut = false): RawMove {
  return { op: 'move', ...base, tgid, tid: tgid, startLo: start, ...names(cgroup, cut) }
}

export interface ExecTexts {
  readonly filename?: string
  readonly path?: string
  readonly argv?: readonly string[]
  readonly cwd?: string
  readonly cgroup?: string
}

/** An exec after a fork; `change` overrides its other fields. */
export function exec(
  tgid: number,
  start: number,
  parent: number,
  parentStart: number,
  { filename = '/bin/true', path = filename, argv = ['true'], cwd = '', cgroup = '' }: ExecTexts = {},
  change: Partial<RawExec> = {},
): RawExec {
  const words = Buffer.from(argv.map((word) => `${word}\0`).join(''))
  return {
    op: 'exec',
    ...base,
    tgid,
    tid: tgid,
    startLo: start,
    parentTgid: parent,
    parentStart: { lo: parentStart, hi: 0 },
    euid: 0,
    auid: 4294967295,
    flags: PROCESS_FLAGS.execve | PROCESS_FLAGS.clone | (cwd === '' ? PROCESS_FLAGS.rootcwd : 0),
    nspid: 0,
    detail: Buffer.alloc(PROCESS_DETAIL.bytes),
    filename: Buffer.from(filename),
    cwd: Buffer.from(cwd),
    ...names(cgroup === '' ? [] : [cgroup]),
    path: Buffer.from(path),
    fileIno: 7n,
    fileLinks: 1,
    argv: words,
    argvTotal: words.length,
    envTotal: 0,
    raised: 0,
    ...change,
  }
}

export function scanned(pid: number, parentPid: number, change: Partial<ScannedProcess> = {}): ScannedProcess {
  return {
    pid,
    parentPid,
    startNs: BigInt(pid) * 10_000_000n,
    uid: 0,
    auid: 4294967295,
    nspid: 0,
    flags: PROCESS_FLAGS.procFS,
    binary: `/bin/p${pid}`,
    arguments: '',
    argv: '',
    cwd: '/',
    cgroup: '/',
    kernelThread: false,
    ...change,
  }
}
