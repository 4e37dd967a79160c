/**
 * Facts that only the event of an exec has: all arguments if they are long, the environment, and privileges that the file raised. The
 * process table does not keep them, and other events of the process do not repeat them.
 *
 * Constraints: the kernel sends parts that have no room in an exec record before it, in separate records. Programs choose those texts, and
 * records may be lost. So the parts that wait for their exec are bounded in bytes. The texts of an event as JSON are bounded too: a sink
 * would refuse a longer record, and a program could hide that way.
 */
import type { Mutable } from '../../wire/values.ts'
import type { Config } from '../../../config/agent/schema.ts'
import type { Executed, Members, MemberValue } from '../../../exporters/contract/event.ts'
import type { RawData, RawExec } from '../../wire/decode.ts'
import {
  DATA_ARGV,
  DATA_ENV,
  PROCESS_DETAIL,
  RAISED_FILE_CAPABILITIES,
  RAISED_SETGID,
  RAISED_SETGID_ROOT,
  RAISED_SETUID,
  RAISED_SETUID_ROOT,
} from '../../wire/wire.ts'
import { PROCESS_FLAGS } from '../../wire/flags.ts'
import type { ProcessFiles } from './process-files.ts'
import { flagWords, readArguments } from '../../wire/text.ts'
import { readEnvironment, jsonStart } from './environment.ts'

export type ExecutedConfig = Pick<
  Config,
  'enable_process_cred' | 'enable_process_environment_variables' | 'filter_environment_variables'
>

/** Parts of execs whose records have not come yet. A CPU has one at a time; the rest are of execs that were lost. */
const MOST_WAITING = 16 << 20
/** Limit of the arguments as JSON. With all else an exec event then has less than 1 MB, which Kafka takes. */
const ARGUMENTS_BYTES = 448 << 10
/** The bound of bpf/process/data.h. */
const ENVIRONMENT_BYTES = 32 << 10

const PRIVILEGES = [
  [RAISED_FILE_CAPABILITIES, 'PRIVILEGES_RAISED_EXEC_FILE_CAP'],
  [RAISED_SETUID_ROOT, 'PRIVILEGES_RAISED_EXEC_FILE_SETUID'],
  [RAISED_SETGID_ROOT, 'PRIVILEGES_RAISED_EXEC_FILE_SETGID'],
] as const

interface Parts {
  readonly startLo: number
  readonly startHi: number
  readonly argv: Buffer[]
  readonly env: Buffer[]
  bytes: number
}

export class ExecutedFacts {
  readonly #credentials: boolean
  readonly #environment: boolean
  readonly #names: ReadonlySet<string> | undefined
  /** By process; the oldest first. */
  readonly #waiting = new Map<number, Parts>()
  /** Bytes that wait. */
  waitingBytes = 0

  constructor(config: ExecutedConfig) {
    this.#credentials = config.enable_process_cred
    this.#environment = config.enable_process_environment_variables
    const names = config.filter_environment_variables
    this.#names = names.length === 0 ? undefined : new Set(names)
  }

  keep({ tgid, startLo, startHi, of, at, bytes }: RawData): void {
    let parts = this.#waiting.get(tgid)
    if (parts?.startLo !== startLo || parts.startHi !== startHi) {
      this.#drop(tgid)
      this.#waiting.set(tgid, (parts = { startLo, startHi, argv: [], env: [], bytes: 0 }))
    }
    const list = of === DATA_ARGV ? parts.argv : of === DATA_ENV ? parts.env : undefined
    // Parts behind a lost part are of no use.
    if (list === undefined || list.reduce((sum, part) => sum + part.length, 0) !== at) return
    list.push(Buffer.from(bytes))
    parts.bytes += bytes.length
    this.waitingBytes += bytes.length
    for (const oldest of this.#waiting.keys()) {
      if (this.waitingBytes <= MOST_WAITING) break
      this.#drop(oldest)
    }
  }

  /** `flags`: of the image. undefined: the event has nothing more than others of its process. */
  of(raw: RawExec, flags: number): Executed | undefined {
    const { argv, env } = this.#take(raw)
    const facts: Mutable<Executed> = {}
    let shown = flags
    if (argv.length > 0) {
      const all = Buffer.concat([raw.argv, ...argv])
      const { arguments: text } = readArguments(all)
      facts.arguments = jsonStart(text, ARGUMENTS_BYTES)
      if (all.length >= raw.argvTotal && facts.arguments === text) shown &= ~PROCESS_FLAGS.truncArgs
    }
    if (this.#environment) {
      const all = Buffer.concat(env)
      shown |= this.#addEnvironment(facts, all, all.length >= raw.envTotal)
    }
    if (this.#credentials && raw.raised !== 0) facts.raised = raisedBy(raw)
    if (shown !== flags) facts.flags = flagWords(shown)
    return Object.keys(facts).length === 0 ? undefined : facts
  }

  /** Facts of a process that ran before the agent. */
  async ofRunning(
    files: ProcessFiles,
    { pid, uid }: { readonly pid: number; readonly uid: number },
    flags: number,
  ): Promise<Executed | undefined> {
    if (!this.#environment) return undefined
    const facts: Mutable<Executed> = {}
    let all = Buffer.alloc(0)
    let isRead = false
    try {
      const read = await files.read(pid, uid, 'environ', ENVIRONMENT_BYTES)
      all = read ?? all
      isRead = read !== undefined && all.length <= ENVIRONMENT_BYTES
    } catch {
      // It has ended, or belongs to another user and the agent is not root.
    }
    const cut = this.#addEnvironment(facts, all.subarray(0, ENVIRONMENT_BYTES), isRead)
    if (cut !== 0) facts.flags = flagWords(flags | cut)
    return facts
  }

  /** Returns the flag for an environment that is not whole, or 0. */
  #addEnvironment(facts: Mutable<Executed>, bytes: Buffer, isWhole: boolean): number {
    const { variables, cut } = readEnvironment(bytes, isWhole, this.#names)
    if (variables.length > 0) facts.environment = variables
    return cut ? PROCESS_FLAGS.errorEnvs : 0
  }

  #drop(tgid: number): void {
    this.waitingBytes -= this.#waiting.get(tgid)?.bytes ?? 0
    this.#waiting.delete(tgid)
  }

  #take({ tgid, startLo, startHi }: RawExec): Pick<Parts, 'argv' | 'env'> {
    const parts = this.#waiting.get(tgid)
    this.#drop(tgid)
    return parts?.startLo === startLo && parts.startHi === startHi ? parts : NONE
  }
}

const NONE: Pick<Parts, 'argv' | 'env'> = { argv: [], env: [] }

/** Members of `binary_properties`. */
function raisedBy({ raised, detail }: RawExec): Members {
  const members = new Map<string, MemberValue>()
  if ((raised & RAISED_SETUID) !== 0) members.set('setuid', detail.readUInt32LE(PROCESS_DETAIL.euid))
  if ((raised & RAISED_SETGID) !== 0) members.set('setgid', detail.readUInt32LE(PROCESS_DETAIL.egid))
  const privileges = PRIVILEGES.filter(([bit]) => (raised & bit) !== 0).map(([, name]) => name)
  if (privileges.length > 0) members.set('privileges_changed', privileges)
  return members
}
