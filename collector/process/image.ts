/** An image: one program in one process, from the fork or exec that made it to its end. */
import type { Process, Timestamp } from '../../exporters/contract/event.ts'
import { PROCESS_FLAGS } from './flags.ts'
import type { WallClock } from './clock.ts'
import type { Renderings } from './renderings.ts'
import { execId, flagWords } from './text.ts'

/** What an image has in common with those forked from it: held once, gone with the last of them. */
export interface Texts {
  arguments: string
  bytes: number
  /** Images that have these. */
  users: number
}

/** An image with what the table needs to know beside the record's fields. */
export interface Image {
  readonly process: Process
  /** Cleared when the image has left the table: else a process that execs for ever would keep all it ever was. */
  parent: Image | undefined
  readonly startLo: number
  readonly startHi: number
  flags: number
  /** The image that this pid ran before, while it is in its grace time, and the one after. */
  previous: Image | undefined
  newer: Image | undefined
  ended: boolean
  readonly texts: Texts
  /** The table, while it is in there, and each image that names it as its parent. */
  holders: number
  /** Last look at the kernel's table that found it there (reconcile.ts). */
  seen: number
}

/** What an image is made of. */
export type Facts = Pick<
  Process,
  'binary' | 'unlinkedInode' | 'arguments' | 'cwd' | 'uid' | 'auid' | 'docker' | 'inInitTree'
> & {
  readonly flags: number
  readonly forked?: boolean
  /** Those of the parent that it was forked from. */
  readonly texts?: Texts
}

/** What is the same for all images. */
export interface Making {
  readonly node: string
  readonly clock: WallClock
  readonly renderings: Renderings
}

const LOW = 0xffff_ffffn

export function startOf(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}

/** The object of a string, and its characters: one byte each, or two where one of them needs it. */
export function textBytes(text: string): number {
  // oxlint-disable-next-line no-control-regex -- what fits into one byte is meant
  return text === '' ? 0 : 24 + text.length * (/[^\0-\xff]/.test(text) ? 2 : 1)
}

export function makeImage(
  { node, clock, renderings }: Making,
  pid: number,
  startNs: bigint,
  parent: Image | undefined,
  of: Facts,
): Image {
  const startTime: Timestamp = clock.atNs(startNs)
  const flags = of.inInitTree === true ? of.flags | PROCESS_FLAGS.inInitTree : of.flags
  return {
    process: {
      execId: execId(node, startNs, pid),
      parentExecId: parent?.process.execId ?? '',
      pid,
      uid: of.uid,
      auid: of.auid,
      cwd: of.cwd,
      binary: of.binary,
      unlinkedInode: of.unlinkedInode,
      arguments: of.arguments,
      flags: flagWords(flags),
      startTime,
      docker: of.docker,
      inInitTree: of.inInitTree,
      refcnt: 1,
      forked: of.forked === true,
      rendered: renderings.make(),
    },
    parent,
    startLo: Number(startNs & LOW),
    startHi: Number(startNs >> 32n),
    flags,
    previous: undefined,
    newer: undefined,
    ended: false,
    texts: of.texts ?? {
      arguments: of.arguments,
      bytes: textBytes(of.arguments) + textBytes(of.binary) + textBytes(of.cwd) + textBytes(of.docker),
      users: 0,
    },
    holders: 0,
    seen: 0,
  }
}
