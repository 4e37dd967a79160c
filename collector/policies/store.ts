/**
 * The policies in force: what the files of the configured places say. A file added, changed or removed takes effect at
 * the next look; a bad one is reported and changes nothing.
 */
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { formatProblem } from '../../config/yaml/problems.ts'
import { readTextFile } from '../../config/yaml/files.ts'
import { policyFilesAt } from '../../config/policy/files.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { CollectorError } from '../errors.ts'

/** What is in the kernel for one policy; disposing detaches it. */
export interface Attached extends Disposable {
  readonly policy: Policy
}

interface Entry {
  readonly file: string
  readonly digest: string
  /** undefined: the file is bad and nothing of it is in force (or what was before still is). */
  attached: Attached | undefined
  problem: string | undefined
}

export interface PolicyStoreOptions<T extends Attached> {
  /** Files and folders, as configured. */
  readonly paths: readonly string[]
  /** Puts a policy in force; throws when the kernel will not have it, and then nothing of it is attached. */
  readonly attach: (policy: Policy) => T
  readonly onChange: (change: 'added' | 'replaced' | 'removed' | 'refused', file: string, detail: string) => void
}

export interface PolicyStatus {
  readonly file: string
  readonly name: string
  readonly problem: string | undefined
}

const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

/** Of a file or folder as a whole. */
function problemOf(file: string, message: string): string {
  return formatProblem({ file, line: 1, col: 1, message })
}

export class PolicyStore<T extends Attached> implements Disposable {
  readonly #options: PolicyStoreOptions<T>
  readonly #entries = new Map<string, Entry & { attached: T | undefined }>()
  #looking: Promise<void> | undefined
  /** Disposed: a look that is under way attaches nothing more. */
  #closed = false

  constructor(options: PolicyStoreOptions<T>) {
    this.#options = options
  }

  /** Every policy in force. */
  attached(): T[] {
    return [...this.#entries.values()].flatMap((entry) => (entry.attached === undefined ? [] : [entry.attached]))
  }

  status(): PolicyStatus[] {
    return [...this.#entries.values()].map((entry) => ({
      file: entry.file,
      name: entry.attached?.policy.name ?? '',
      problem: entry.problem,
    }))
  }

  /** The first look: everything must be good. Throws CollectorError POLICY_REFUSED naming each mistake; nothing stays attached. */
  async start(): Promise<void> {
    try {
      await this.look()
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
    const problems = [...this.#entries.values()].flatMap((entry) => entry.problem ?? [])
    if (problems.length === 0) return
    this[Symbol.dispose]()
    throw new CollectorError('POLICY_REFUSED', problems.join('\n'))
  }

  /** Compares the files with what is in force. One look at a time; a call during a look waits for that one. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  async #look(): Promise<void> {
    const present = new Set<string>()
    const files: string[] = []
    for (const place of this.#options.paths) files.push(...(await this.#filesOf(place, present)))
    for (const file of files) await this.#lookAt(file, present)
    if (this.#closed) return
    for (const [file, entry] of this.#entries) {
      if (present.has(file)) continue
      this.#entries.delete(file)
      if (entry.attached === undefined) continue
      entry.attached[Symbol.dispose]()
      this.#options.onChange('removed', file, entry.attached.policy.name)
    }
  }

  /**
   * The place's files, added to `present` too. A place that is gone takes its policies along; one that can not be read
   * (no descriptors left, a file server that is away) is reported and changes nothing.
   */
  async #filesOf(place: string, present: Set<string>): Promise<string[]> {
    try {
      const files = await policyFilesAt(place)
      for (const file of files) present.add(file)
      return files
    } catch (error) {
      if (this.#closed) return []
      if (isGone(error)) {
        if (this.#entries.get(place)?.attached !== undefined) return []
      } else {
        for (const file of this.#entries.keys()) if (dirname(file) === place) present.add(file)
      }
      present.add(place)
      const why = error instanceof Error ? error.message : String(error)
      this.#refuse(place, why, problemOf(place, `cannot read: ${why}`))
      return []
    }
  }

  async #lookAt(file: string, present: ReadonlySet<string>): Promise<void> {
    const read = await readTextFile(file)
    if (this.#closed) return
    if ('problems' in read) {
      this.#refuse(file, JSON.stringify(read.problems), read.problems.map(formatProblem).join('\n'))
      return
    }
    const digest = createHash('sha256').update(read.text).digest('hex')
    const known = this.#entries.get(file)
    if (known?.digest === digest) return
    const parsed = parsePolicy(read.text, file)
    if ('problems' in parsed) {
      this.#refuse(file, digest, parsed.problems.map(formatProblem).join('\n'))
      return
    }
    const { policy } = parsed
    const other = [...this.#entries.values()].find(
      (entry) => entry.file !== file && entry.attached?.policy.name === policy.name,
    )
    if (other !== undefined && present.has(other.file)) {
      const problem = problemOf(
        file,
        `policy "${policy.name}" is already loaded from ${other.file}: give it another name`,
      )
      // No digest: looked at again and again, because the other may go.
      this.#refuse(file, '', problem)
      return
    }
    // One whose file is gone was renamed to this.
    this.#put(file, digest, policy, other === undefined ? [file] : [file, other.file])
  }

  /** The new one is attached before the old ones go: for a moment an access may be seen twice, never not at all. */
  #put(file: string, digest: string, policy: Policy, replaces: readonly string[]): void {
    let attached: T
    try {
      attached = this.#options.attach(policy)
    } catch (error) {
      const known = error instanceof CollectorError
      this.#refuse(file, digest, known ? error.message : problemOf(file, String(error)))
      // A fault of ours: told to the caller once, for the file is not tried again until it changes.
      if (!known) throw error
      return
    }
    let change: 'added' | 'replaced' = 'added'
    for (const old of replaces) {
      const before = this.#entries.get(old)?.attached
      this.#entries.delete(old)
      if (before === undefined) continue
      before[Symbol.dispose]()
      change = 'replaced'
    }
    this.#entries.set(file, { file, digest, attached, problem: undefined })
    this.#options.onChange(change, file, policy.name)
  }

  #refuse(file: string, digest: string, problem: string): void {
    const known = this.#entries.get(file)
    if (known?.digest === digest && known.problem === problem) return
    this.#entries.set(file, { file, digest, attached: known?.attached, problem })
    this.#options.onChange('refused', file, problem)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    for (const entry of this.#entries.values()) entry.attached?.[Symbol.dispose]()
    this.#entries.clear()
  }
}
