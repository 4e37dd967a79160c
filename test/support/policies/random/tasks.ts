/** The processes of a world: which one makes a call, and with which namespaces and capabilities. */
import { CAPABILITIES } from '../../../../config/policy/selectors/capabilities.ts'
import type { Seeded } from '../../../simulation/spool/random.ts'
import { sys } from '../calls.ts'
import type { Privileges, ProcessFacts } from '../process-filters.ts'
import type { Value } from '../value.ts'
import { DROPPED, NAMESPACE_FLAGS } from './alphabet.ts'

/** A process at a moment. */
export interface TaskState {
  readonly number: number
  /** As it was at the fork. */
  readonly parent: TaskState | undefined
  /** Its pid in a namespace of its own, else 0. */
  readonly innerPid: number
  readonly outside: readonly string[]
  readonly now: Privileges
  readonly first: Privileges
}

/** Facts about the processes of a world that are known once they have run. */
export interface Made {
  readonly program: string
  readonly comm: string
  /** Facts about the process that started the first. */
  readonly parent: { readonly program: string; readonly comm: string; readonly pids: readonly number[] }
  /** Pids on the host, by number. */
  readonly pids: readonly number[]
  readonly hostName: string
  readonly umask: number
}

/** A namespace that differs from each that a process can have. */
const UNREAD = -1
const BITS_PER_WORD = 32n
/** include/uapi/linux/capability.h _LINUX_CAPABILITY_VERSION_3 */
const CAPABILITY_VERSION = 0x2008_0522

const bitsOf = (names: readonly string[]): bigint =>
  names.reduce((bits, name) => bits | (1n << BigInt(CAPABILITIES.indexOf(name))), 0n)

export class Tasks {
  readonly #random: Seeded
  #now: TaskState
  #count = 1
  #namespaces = 0

  constructor(random: Seeded) {
    this.#random = random
    const now: Privileges = {
      namespaces: Object.fromEntries([...Object.keys(NAMESPACE_FLAGS), 'PidForChildren'].map((kind) => [kind, 0])),
      capabilities: { Effective: CAPABILITIES, Permitted: CAPABILITIES, Inheritable: [] },
    }
    this.#now = { number: 0, parent: undefined, innerPid: 0, outside: [], now, first: now }
  }

  get now(): TaskState {
    return this.#now
  }

  /** From now on policies see it. */
  loaded(): void {
    const { now } = this.#now
    const { namespaces } = now
    // It has not forked: a namespace without a process cannot be read, so it may be another one than before.
    const isUnread = namespaces['PidForChildren'] !== namespaces['Pid']
    this.#now = {
      ...this.#now,
      first: isUnread ? { ...now, namespaces: { ...namespaces, PidForChildren: UNREAD } } : now,
    }
  }

  fork(): TaskState {
    const before = this.#now
    const enters = before.outside.includes('PidForChildren')
    const { namespaces } = before.now
    const now = { ...before.now, namespaces: { ...namespaces, Pid: namespaces['PidForChildren'] ?? 0 } }
    this.#now = {
      number: this.#count++,
      parent: before,
      innerPid: enters ? 1 : 0,
      outside: enters ? [...before.outside, 'Pid'] : before.outside,
      now,
      first: now,
    }
    return before
  }

  /** Back in the process that waited. */
  ended(before: TaskState): void {
    this.#now = before
  }

  /** The system call with which it leaves a namespace. */
  unshare(kind: string): string {
    const { now, outside } = this.#now
    const entered = kind === 'Pid' ? 'PidForChildren' : kind
    this.#now = {
      ...this.#now,
      outside: [...outside, entered],
      now: { ...now, namespaces: { ...now.namespaces, [entered]: ++this.#namespaces } },
    }
    return sys('unshare', NAMESPACE_FLAGS[kind] ?? 0)
  }

  /** The system call with which it loses some capabilities, or gets them back. */
  changeCapabilities(): string {
    const random = this.#random
    const { now } = this.#now
    const { Permitted: held = [] } = now.capabilities
    const some = (of: readonly string[], chance: number): string[] => of.filter(() => random.chance(chance))
    const gone = random.chance(0.3) ? some(DROPPED, 0.3) : []
    const permitted = held.filter((name) => !gone.includes(name))
    const off = some(DROPPED, 0.4)
    const effective = permitted.filter((name) => !off.includes(name))
    const before = now.capabilities['Inheritable'] ?? []
    const inheritable = random.chance(0.5)
      ? before
      : some(
          DROPPED.filter((name) => permitted.includes(name)),
          0.5,
        )
    const capabilities = { Effective: effective, Permitted: permitted, Inheritable: inheritable }
    this.#now = { ...this.#now, now: { ...now, capabilities } }
    const header = Buffer.alloc(8)
    header.writeUInt32LE(CAPABILITY_VERSION)
    const data = Buffer.alloc(24)
    ;[effective, permitted, inheritable].map(bitsOf).forEach((bits, i) => {
      data.writeUInt32LE(Number(BigInt.asUintN(32, bits)), 4 * i)
      data.writeUInt32LE(Number(bits >> BITS_PER_WORD), 12 + 4 * i)
    })
    return sys('capset', { text: header.toString('latin1') }, { text: data.toString('latin1') })
  }
}

const text = (value: string): Value => ({ kind: 'text', text: value })
const number = (value: number): Value => ({ kind: 'number', value: BigInt(value) })

/** `resolve` of data, with the types that fit. */
export const DATA: Readonly<Record<string, readonly string[]>> = {
  comm: ['string'],
  tgid: ['int', 'sint64', 'uint32', 'int8'],
  'real_parent.tgid': ['int', 'uint64'],
  'real_parent.comm': ['string'],
  'group_leader.comm': ['string'],
  'cred.euid.val': ['uint32', 'int'],
  'fs.umask': ['int'],
  'mm.exe_file': ['file'],
  'nsproxy.uts_ns.name.nodename': ['string'],
}

/** Facts about a process that filters may use. */
export function factsOf(state: TaskState, made: Made): ProcessFacts {
  const { number: own, parent, innerPid, outside, now, first } = state
  const before = parent === undefined ? undefined : factsOf(parent, made)
  const pid = made.pids[own] ?? -1
  return {
    program: made.program,
    parent: before?.program ?? made.parent.program,
    pid,
    innerPid,
    before,
    ancestors: made.parent.pids,
    outside,
    capabilities: now.capabilities,
    privileges: { now, first },
    data: {
      comm: text(made.comm),
      tgid: signed(pid),
      'real_parent.tgid': signed(before?.pid ?? made.parent.pids[0] ?? -1),
      'real_parent.comm': text(before === undefined ? made.parent.comm : made.comm),
      'group_leader.comm': text(made.comm),
      'cred.euid.val': { kind: 'number', value: 0n, width: { signed: false, bits: 32 } },
      'fs.umask': signed(made.umask),
      'mm.exe_file': { kind: 'path', text: made.program, fileType: 'reg' },
      'nsproxy.uts_ns.name.nodename': text(made.hostName),
    },
  }
}

/** An `int` of the kernel, whatever integer type the policy names. */
const signed = (value: number): Value => ({ ...number(value), width: { signed: true, bits: 32 } }) as Value
