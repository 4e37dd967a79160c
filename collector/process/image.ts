/** An image: one program in one process, from the fork or exec that made it to its end. */
import type { Process, Timestamp } from '../../exporters/contract/event.ts'
import { PROCESS_FLAGS } from '../wire/flags.ts'
import type { WallClock } from './clock.ts'
import type { SharedDetails } from './detail/details.ts'
import type { Renderings } from '../../exporters/index.ts'
import { execId, flagWords } from '../wire/text.ts'

/** Texts that an image shares with its forks: stored once, freed with the last of them. */
export interface Texts {
  arguments: string
  argv: string
  bytes: number
  /** Number of images that use them. */
  users: number
}

/** An image: the record's fields, and fields for the table. */
export interface Image {
  /** Replaced when the process is moved to another container. */
  process: Process
  /** Cleared when the image leaves the table: else a process that keeps calling exec would keep all its images. */
  parent: Image | undefined
  /** The parent's parent and so on, if they are enabled; cleared likewise. */
  above: readonly Image[]
  readonly startLo: number
  readonly startHi: number
  flags: number
  /** This pid's previous image, while that is in its grace time, and its next image. */
  previous: Image | undefined
  newer: Image | undefined
  ended: boolean
  readonly texts: Texts
  readonly details: SharedDetails | undefined
  /** References: one of the table while the image is in it, and one of each child image. */
  holders: number
  /** The last reconciliation round that found it in the kernel's table (reconcile.ts). */
  seen: number
}

/** Input for an image. */
export type Facts = Pick<
  Process,
  | 'binary'
  | 'unlinkedInode'
  | 'arguments'
  | 'argv'
  | 'cwd'
  | 'uid'
  | 'auid'
  | 'nspid'
  | 'docker'
  | 'podUid'
  | 'pod'
  | 'container'
  | 'execProbe'
  | 'inInitTree'
> & {
  readonly flags: number
  readonly forked?: boolean
  readonly details?: SharedDetails | undefined
  /** The parent's texts, for a fork. */
  readonly texts?: Texts
}

/** Input that all images share. */
export interface Making {
  readonly node: string
  readonly clock: WallClock
  readonly renderings: Renderings
}

const NONE: readonly Image[] = []
const LOW = 0xffff_ffffn

export function startOf(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo)
}

/** Memory of a string: the object, and one byte per character, or two if any character needs it. */
export function textBytes(text: string): number {
  // oxlint-disable-next-line no-control-regex -- the range is all one-byte characters
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
      argv: of.argv,
      flags: flagWords(flags),
      startTime,
      nspid: of.nspid ?? 0,
      docker: of.docker,
      podUid: of.podUid ?? '',
      pod: of.pod,
      container: of.container,
      execProbe: of.execProbe === true,
      inInitTree: of.inInitTree,
      refcnt: 1,
      forked: of.forked === true,
      details: of.details?.shown,
      rendered: renderings.make(),
    },
    parent,
    above: NONE,
    startLo: Number(startNs & LOW),
    startHi: Number(startNs >> 32n),
    flags,
    previous: undefined,
    newer: undefined,
    ended: false,
    texts: of.texts ?? {
      arguments: of.arguments,
      argv: of.argv,
      bytes: [of.arguments, of.argv, of.binary, of.cwd, of.docker].reduce((sum, text) => sum + textBytes(text), 0),
      users: 0,
    },
    details: of.details,
    holders: 0,
    seen: 0,
  }
}
