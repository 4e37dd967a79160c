/**
 * The policies in force: what the files of the configured places say. A file added, changed or removed takes effect at
 * the next look; a bad one is reported and changes nothing.
 */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { formatProblem } from '../config/problems.ts'
import { readTextFile } from '../config/files.ts'
import { parsePolicy } from '../config/parse-policy.ts'
import type { Policy } from '../config/policy.ts'
import { CollectorError } from './errors.ts'

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
  readonly places: readonly string[]
  /** Puts a policy in force; throws when the kernel will not have it, and then nothing of it is attached. */
  readonly attach: (policy: Policy) => T
  readonly onChange: (change: 'added' | 'replaced' | 'removed' | 'refused', file: string, detail: string) => void
}

export interface PolicyStatus {
  readonly file: string
  readonly name: string
  readonly problem: string | undefined
}

/** A folder's policy files: *.yaml and *.yml directly in it, hidden ones left out, in the order of their names. */
async function filesAt(place: string): Promise<string[]> {
  const info = await stat(place)
  if (!info.isDirectory()) return [place]
  const names = await readdir(place)
  return names
    .filter((name) => /^[^.].*\.ya?ml$/.test(name))
    .toSorted()
    .map((name) => join(place, name))
}

export class PolicyStore<T extends Attached> implements Disposable {
  readonly #options: PolicyStoreOptions<T>
  readonly #entries = new Map<string, Entry & { attached: T | undefined }>()
  #looking: Promise<void> | undefined

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
    await this.look()
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
    for (const place of this.#options.places) {
      const files = await filesAt(place).catch((error: unknown) => {
        // A place that is gone takes its policies along; at the start it is a mistake like any other.
        const why = error instanceof Error ? error.message : String(error)
        if (this.#entries.get(place)?.attached === undefined)
          this.#refuse(place, why, `${place}:1:1: cannot read: ${why}`)
        if (this.#entries.get(place)?.attached === undefined) present.add(place)
        return []
      })
      for (const file of files) {
        present.add(file)
        await this.#lookAt(file)
      }
    }
    for (const [file, entry] of this.#entries) {
      if (present.has(file)) continue
      this.#entries.delete(file)
      if (entry.attached === undefined) continue
      entry.attached[Symbol.dispose]()
      this.#options.onChange('removed', file, entry.attached.policy.name)
    }
  }

  async #lookAt(file: string): Promise<void> {
    const read = await readTextFile(file)
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
    if (other !== undefined) {
      this.#refuse(
        file,
        digest,
        `${file}:1:1: policy "${policy.name}" is already loaded from ${other.file}: give it another name`,
      )
      return
    }
    this.#put(file, digest, policy, known?.attached)
  }

  /** The new one is attached before the old one goes: for a moment an access may be seen twice, never not at all. */
  #put(file: string, digest: string, policy: Policy, before: T | undefined): void {
    let attached: T
    try {
      attached = this.#options.attach(policy)
    } catch (error) {
      if (!(error instanceof CollectorError)) throw error
      this.#refuse(file, digest, error.message)
      return
    }
    before?.[Symbol.dispose]()
    this.#entries.set(file, { file, digest, attached, problem: undefined })
    this.#options.onChange(before === undefined ? 'added' : 'replaced', file, policy.name)
  }

  #refuse(file: string, digest: string, problem: string): void {
    const known = this.#entries.get(file)
    if (known?.digest === digest && known.problem === problem) return
    this.#entries.set(file, { file, digest, attached: known?.attached, problem })
    this.#options.onChange('refused', file, problem)
  }

  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) entry.attached?.[Symbol.dispose]()
    this.#entries.clear()
  }
}
