/**
 * Optional fields of processes (`enable_process_cred`, `enable_process_ns`, `username_metadata`), from `struct process_detail` of exec records and from
 * /proc. Nearly all processes of a host have the same few, so equal ones are one object.
 */
import { statSync } from 'node:fs'
import { asksForDetails } from '../../../config/agent/effective.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { CAPABILITY_NAMES, SECURE_BITS } from '../../../config/policy/types/names.ts'
import type { Members, MemberValue, ProcessDetails } from '../../../exporters/contract/event.ts'
import { putNewest } from '../../host/newest.ts'
import { statusWords } from '../../host/proc-stat.ts'
import { readOr } from '../../host/read.ts'
import { NAMESPACE_FILES } from '../../kernel/conditions/host-namespaces.ts'
import { NAMESPACES, PROCESS_DETAIL } from '../../wire/wire.ts'
import { UserNames } from './user-names.ts'

export type DetailConfig = Pick<Config, 'procfs' | 'enable_process_cred' | 'enable_process_ns' | 'username_metadata'>

/** Details with numbers for the memory budget. */
export interface SharedDetails {
  readonly shown: ProcessDetails
  /** Whether user names of the host apply. */
  readonly isNamed: boolean
  readonly bytes: number
  /** Number of images that use them. */
  users: number
}

/** Size with all capabilities, and with the bytes that encoders keep. */
const BYTES = 12 << 10
/** A program can make user namespaces without end. */
const KEPT = 256
/** Level of a user namespace that the kernel does not describe in /proc. */
const UNKNOWN = 0xffff_ffff

/** Keys of records, in their order, and names in /proc/PID/ns. */
const NAMESPACE_KEYS = Object.entries(NAMESPACE_FILES).map(
  ([kind, key]) => [key, NAMESPACES[kind as keyof typeof NAMESPACES]] as const,
)
/** Keys of records, and their places. Lines of /proc/PID/status have the real, effective, saved and file system id. */
const IDS = [
  ['uid', PROCESS_DETAIL.uid, 'Uid', 0],
  ['gid', PROCESS_DETAIL.gid, 'Gid', 0],
  ['euid', PROCESS_DETAIL.euid, 'Uid', 1],
  ['egid', PROCESS_DETAIL.egid, 'Gid', 1],
  ['suid', PROCESS_DETAIL.suid, 'Uid', 2],
  ['sgid', PROCESS_DETAIL.sgid, 'Gid', 2],
  ['fsuid', PROCESS_DETAIL.fsuid, 'Uid', 3],
  ['fsgid', PROCESS_DETAIL.fsgid, 'Gid', 3],
] as const
const CAPABILITIES = [
  ['permitted', PROCESS_DETAIL.permitted, 'CapPrm'],
  ['effective', PROCESS_DETAIL.effective, 'CapEff'],
  ['inheritable', PROCESS_DETAIL.inheritable, 'CapInh'],
] as const

export class Details {
  readonly #config: DetailConfig
  readonly #users: UserNames | undefined
  readonly #host: readonly number[]
  readonly #kept = new Map<string, SharedDetails>()

  /** undefined if the config enables none. */
  static of(config: DetailConfig): Details | undefined {
    return asksForDetails(config) ? new Details(config) : undefined
  }

  private constructor(config: DetailConfig) {
    this.#config = config
    const { procfs, username_metadata: names } = config
    this.#users = names === 'unix' ? new UserNames(`${procfs}/1/root/etc/passwd`, () => this.#kept.clear()) : undefined
    this.#host = namespacesOf(procfs, 1)
  }

  /** Details from an exec record; `raw` is a struct process_detail. */
  executed(raw: Uint8Array): SharedDetails {
    this.#users?.refresh()
    const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.length)
    const key = bytes.toString('latin1')
    const details = this.#kept.get(key) ?? { ...this.#shown(bytes), bytes: BYTES, users: 0 }
    putNewest(this.#kept, key, details, KEPT)
    return details
  }

  /** The details with the name of another user. */
  named(details: SharedDetails, uid: number): Pick<SharedDetails, 'shown' | 'bytes'> {
    if (!details.isNamed) return { shown: details.shown, bytes: 0 }
    const { user: _user, ...others } = details.shown
    return { shown: { ...others, ...this.#userOf(uid) }, bytes: BYTES }
  }

  /** Details of a running process; undefined if it is gone. */
  running(pid: number): SharedDetails | undefined {
    const raw = readDetail(this.#config.procfs, pid, this.#host)
    return raw && this.executed(raw)
  }

  #shown(bytes: Buffer): Pick<SharedDetails, 'shown' | 'isNamed'> {
    const { enable_process_cred: credentials, enable_process_ns: namespaces } = this.#config
    const isHosts = (index: number): boolean => inumOf(bytes, index) === this.#host[index]
    // As in Tetragon, only for the host's ids: containers have other ids and files.
    const isNamed = this.#users !== undefined && isHosts(NAMESPACES.user) && isHosts(NAMESPACES.mnt)
    return {
      isNamed,
      shown: {
        ...(credentials ? { cap: capabilities(bytes) } : {}),
        ...(namespaces ? { ns: this.#namespaces(bytes) } : {}),
        ...(credentials ? { process_credentials: this.#credentials(bytes) } : {}),
        ...(isNamed ? this.#userOf(bytes.readUInt32LE(PROCESS_DETAIL.euid)) : {}),
      },
    }
  }

  #userOf(uid: number): Pick<ProcessDetails, 'user'> {
    const name = this.#users?.name(uid)
    return name === undefined ? {} : { user: new Map([['name', name]]) }
  }

  #namespaces(bytes: Buffer): Members {
    return new Map(
      NAMESPACE_KEYS.flatMap(([key, index]): Array<[string, Members]> => {
        const inum = inumOf(bytes, index)
        return inum === 0 ? [] : [[key, this.#namespace(inum, index)]]
      }),
    )
  }

  #namespace(inum: number, index: number): Members {
    const isHost: Array<[string, MemberValue]> = inum === this.#host[index] ? [['is_host', true]] : []
    return new Map<string, MemberValue>([['inum', inum], ...isHost])
  }

  #credentials(bytes: Buffer): Members {
    const members = new Map<string, MemberValue>(IDS.map(([key, at]) => [key, bytes.readUInt32LE(at)]))
    const secureBits = bitsOf(SECURE_BITS, BigInt(bytes.readUInt32LE(PROCESS_DETAIL.securebits)))
    if (secureBits.length > 0) members.set('securebits', secureBits)
    members.set('caps', capabilities(bytes))
    const user = new Map<string, MemberValue>()
    const level = bytes.readUInt32LE(PROCESS_DETAIL.userNsLevel)
    if (level !== UNKNOWN) {
      user.set('level', level)
      user.set('uid', bytes.readUInt32LE(PROCESS_DETAIL.userNsUid))
      user.set('gid', bytes.readUInt32LE(PROCESS_DETAIL.userNsGid))
    }
    user.set('ns', this.#namespace(inumOf(bytes, NAMESPACES.user), NAMESPACES.user))
    members.set('user_ns', user)
    return members
  }
}

const inumOf = (bytes: Buffer, index: number): number => bytes.readUInt32LE(PROCESS_DETAIL.namespaces + 4 * index)

/** The names of the bits of a set. */
export function bitsOf(names: readonly string[], set: bigint): string[] {
  return names.filter((name, bit) => name !== '' && ((set >> BigInt(bit)) & 1n) === 1n)
}

function capabilities(bytes: Buffer): Members {
  const members = new Map<string, MemberValue>()
  for (const [key, at] of CAPABILITIES) {
    const names = bitsOf(CAPABILITY_NAMES, bytes.readBigUInt64LE(at))
    if (names.length > 0) members.set(key, names)
  }
  return members
}

/** Inode numbers by NAMESPACES; 0 for one that cannot be read. */
function namespacesOf(procfs: string, pid: number): number[] {
  const inums: number[] = []
  for (const [key, index] of NAMESPACE_KEYS) {
    try {
      inums[index] = statSync(`${procfs}/${pid}/ns/${key}`).ino
    } catch {
      inums[index] = 0
    }
  }
  return inums
}

/** A struct process_detail from /proc, which shows no secure bits and does not describe user namespaces. */
function readDetail(procfs: string, pid: number, host: readonly number[]): Uint8Array | undefined {
  const status = readOr(`${procfs}/${pid}/status`)
  if (status === undefined) return undefined
  const bytes = Buffer.alloc(PROCESS_DETAIL.bytes)
  for (const [, at, line, place] of IDS) bytes.writeUInt32LE(Number(statusWords(status, line)[place] ?? 0), at)
  for (const [, at, line] of CAPABILITIES)
    bytes.writeBigUInt64LE(BigInt(`0x${statusWords(status, line)[0] ?? '0'}`), at)
  const inums = namespacesOf(procfs, pid)
  for (const [index, inum] of inums.entries()) bytes.writeUInt32LE(inum, PROCESS_DETAIL.namespaces + 4 * index)
  if (inums[NAMESPACES.user] !== host[NAMESPACES.user]) bytes.writeUInt32LE(UNKNOWN, PROCESS_DETAIL.userNsLevel)
  return bytes
}
