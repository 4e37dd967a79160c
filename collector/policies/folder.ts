/**
 * The source of policies that are files: what the files of the configured paths say. A file added, changed or removed takes effect at
 * the next look; a bad one is reported once and changes nothing.
 */
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { formatProblem } from '../../config/yaml/problems.ts'
import { readTextFile } from '../../config/yaml/files.ts'
import { errnoOf } from '../../config/yaml/unreadable.ts'
import { policyFilesAt } from '../../config/policy/files.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { CollectorError } from '../errors.ts'
import { Reloads } from './reloads.ts'
import type { Policies, PolicyId, PolicyStatus } from './registry.ts'
import { watchPaths } from './watch.ts'

export type PolicyChange = 'added' | 'replaced' | 'removed' | 'refused'

export interface PolicyFolderOptions {
  /** Files and folders, as configured. */
  readonly paths: readonly string[]
  readonly policies: Policies
  /** `detail`: the policy's name, or why it was refused. */
  readonly onChange: (change: PolicyChange, file: string, detail: string) => void
}

/** What was last seen of a file, or of a path that can not be read. */
interface Seen {
  readonly digest: string
  readonly problem: string | undefined
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errnoOf(error))

/** Of a file or folder as a whole. */
function problemOf(file: string, message: string): string {
  return formatProblem({ file, line: 1, col: 1, message })
}

export class PolicyFolder implements Disposable {
  /** Changes since the start. */
  readonly reloads: Reloads = new Reloads()
  readonly #options: PolicyFolderOptions
  readonly #files = new Map<string, Seen>()
  #looking: Promise<void> | undefined
  /** Disposed: a look that is under way attaches nothing more. */
  #closed = false
  #watch: Disposable | undefined

  constructor(options: PolicyFolderOptions) {
    this.#options = options
  }

  /** Every mistake in the files as they are now, by file. */
  problems(): Array<readonly [file: string, problem: string]> {
    return [...this.#files].flatMap(([file, { problem }]) => (problem === undefined ? [] : [[file, problem] as const]))
  }

  /** The first look: everything must be good. Throws CollectorError POLICY_REFUSED naming each mistake; nothing stays attached. */
  async start(): Promise<void> {
    try {
      await this.look()
      const problems = this.problems().map(([, problem]) => problem)
      this.reloads.begin()
      if (problems.length > 0) throw new CollectorError('POLICY_REFUSED', problems.join('\n'))
    } catch (error) {
      this[Symbol.dispose]()
      for (const { id } of this.#own()) this.#options.policies.remove(id)
      throw error
    }
  }

  /** Compares the files with what is attached. One look at a time; a call during a look waits for that one. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  async #look(): Promise<void> {
    const present = new Set<string>()
    const files: string[] = []
    for (const path of this.#options.paths) files.push(...(await this.#filesOf(path, present)))
    for (const file of files) await this.#lookAt(file, present)
    if (this.#closed) return
    for (const file of [...this.#files.keys()].filter((known) => !present.has(known))) this.#remove(file)
  }

  /**
   * The path's files, added to `present` too. A path that is gone takes its policies along; one that can not be read
   * (no descriptors left, a file server that is away) is reported and changes nothing.
   */
  async #filesOf(path: string, present: Set<string>): Promise<string[]> {
    try {
      const files = await policyFilesAt(path)
      for (const file of files) present.add(file)
      return files
    } catch (error) {
      if (this.#closed) return []
      if (isGone(error)) {
        if (this.#enabled(path) !== undefined) return []
      } else {
        for (const file of this.#files.keys()) if (dirname(file) === path) present.add(file)
      }
      present.add(path)
      const why = error instanceof Error ? error.message : String(error)
      this.#refuse(path, why, problemOf(path, `cannot read: ${why}`))
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
    if (this.#files.get(file)?.digest === digest) return
    this.#forgetErrors(file)
    const parsed = parsePolicy(read.text, file)
    if ('problems' in parsed) {
      this.#refuse(file, digest, parsed.problems.map(formatProblem).join('\n'))
      return
    }
    const { policy } = parsed
    const other = this.#own().find(
      ({ id, state }) => id.name === policy.name && id.source !== file && state === 'enabled',
    )?.id.source
    if (other !== undefined && present.has(other)) {
      const problem = problemOf(file, `policy "${policy.name}" is already loaded from ${other}: give it another name`)
      // No digest: looked at again and again, because the other may go.
      this.#refuse(file, '', problem)
      return
    }
    // One whose file is gone was renamed to this.
    this.#put(file, digest, policy, other)
  }

  #put(file: string, digest: string, policy: Policy, renamedFrom: string | undefined): void {
    const { policies } = this.#options
    const before = this.#own().filter(({ id: { source } }) => source === file || source === renamedFrom)
    const id: PolicyId = { source: file, namespace: '', name: policy.name }
    try {
      if (before.length === 0) policies.add(id, policy)
      else
        policies.replace(
          before.map((old) => old.id),
          id,
          policy,
        )
    } catch (error) {
      const known = error instanceof CollectorError
      this.#refuse(file, digest, known ? error.message : problemOf(file, String(error)))
      // A fault of ours: told to the caller once, for the file is not tried again until it changes.
      if (!known) throw error
      return
    }
    if (renamedFrom !== undefined) this.#files.delete(renamedFrom)
    this.#files.set(file, { digest, problem: undefined })
    this.#changed(before.length === 0 ? 'added' : 'replaced', file, policy.name)
  }

  #refuse(file: string, digest: string, problem: string): void {
    const known = this.#files.get(file)
    if (known?.digest === digest && known.problem === problem) return
    this.#files.set(file, { digest, problem })
    this.#changed('refused', file, problem)
  }

  #remove(file: string): void {
    const { policies } = this.#options
    this.#forgetErrors(file)
    const enabled = this.#enabled(file)
    this.#files.delete(file)
    if (enabled === undefined) return
    policies.remove(enabled.id)
    this.#changed('removed', file, enabled.id.name)
  }

  #changed(change: PolicyChange, file: string, detail: string): void {
    this.reloads.count(change)
    this.#options.onChange(change, file, detail)
  }

  /** Policies of files that are known here. */
  #own(): PolicyStatus[] {
    return this.#options.policies.list().filter(({ id }) => this.#files.has(id.source))
  }

  #enabled(file: string): PolicyStatus | undefined {
    return this.#own().find(({ id, state }) => id.source === file && state === 'enabled')
  }

  /** Under a name that the file had once, and with which it was refused. */
  #forgetErrors(file: string): void {
    for (const { id, state } of this.#own()) {
      if (id.source === file && state === 'error') this.#options.policies.remove(id)
    }
  }

  /** From now on a change of the files takes effect within a second or so. `onFailed`: of a look that found a fault of ours. */
  watch(onFailed: (error: unknown) => void): void {
    this.#watch = watchPaths(this.#options.paths, () => void this.look().catch(onFailed))
  }

  /** Ends the looking; what is attached stays attached. */
  [Symbol.dispose](): void {
    this.#closed = true
    this.#watch?.[Symbol.dispose]()
  }
}
