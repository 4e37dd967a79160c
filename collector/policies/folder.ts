/**
 * The source of policies from files. An added, changed or removed file takes effect at the next check; a bad file is reported once and changes
 * nothing.
 */
import { hash } from 'node:crypto'
import { dirname } from 'node:path'
import { othersMayWrite } from '../../config/agent/writable.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import type { Problem } from '../../config/yaml/problems.ts'
import { readTextFile } from '../../config/yaml/files.ts'
import { errnoOf } from '../../config/base/unreadable.ts'
import { policyFilesAt } from '../../config/policy/sources/files.ts'
import { addFiles } from '../../config/policy/sources/library.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { inTurn } from '../../config/base/mutex.ts'
import type { Log } from '../host/log.ts'
import { CollectorError } from '../errors.ts'
import { Reloads } from './reloads.ts'
import type { Policies, PolicyPut, PolicyStatus } from './registry.ts'
import { PathWatch } from './watch.ts'

export type PolicyChange = 'added' | 'replaced' | 'removed' | 'refused'

export interface PolicyFolderOptions {
  /** Files and folders, as configured. */
  readonly paths: readonly string[]
  readonly policies: Pick<Policies, 'list' | 'put' | 'remove'>
  /** `detail`: the policy's name, or why it was refused. */
  readonly onChange: (change: PolicyChange, file: string, detail: string) => void
}

/** The last state of a file, or of a path that cannot be read. */
interface Seen {
  readonly digest: string
  readonly problem: string | undefined
}

/** A file with a new policy. */
interface Changed {
  readonly file: string
  readonly digest: string
  readonly policy: Policy
}

type Put = PolicyPut & Changed

/** A name that `other` has. */
interface Double {
  readonly name: string
  readonly other: string
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errnoOf(error))

/** A loaded policy may be disabled. */
const isLoaded = ({ state }: PolicyStatus): boolean => state !== 'error'

/** A problem of a file or folder as a whole. */
function problemOf(file: string, message: string): string {
  return formatProblem({ file, line: 0, col: 0, message })
}

/** Mistakes quote the file. If others may write its path, it may be a link to a file that only root may read: then only the place is shown. */
async function withoutText(file: string, problems: readonly Problem[]): Promise<readonly Problem[]> {
  const [first] = problems
  if (first === undefined || !(await othersMayWrite(file))) return problems
  const message = `not a valid policy; its text is not shown, because other users may write its path: run \`ktrail check\` on it as its owner`
  return [{ ...first, message }]
}

export class PolicyFolder implements Disposable {
  /** Changes since the start. */
  readonly reloads: Reloads = new Reloads()
  readonly #options: PolicyFolderOptions
  #paths: readonly string[]
  /** False while other paths are prepared: policies that they lack stay. */
  #removes = true
  readonly #files = new Map<string, Seen>()
  /** Files and unreadable paths of the current paths, without files that only bundles have. */
  #required: ReadonlySet<string> = new Set()
  /** Disposed: a running check attaches nothing more. */
  #closed = false
  #watch: Disposable | undefined
  #rewatch: () => void = () => {}

  constructor(options: PolicyFolderOptions) {
    this.#options = options
    this.#paths = options.paths
  }

  /** Mistakes because of which a start or a change fails. */
  #fatal(): string[] {
    return this.problems().flatMap(([file, problem]) => (this.#required.has(file) ? [problem] : []))
  }

  /** All mistakes in the current files, by file. */
  problems(): Array<readonly [file: string, problem: string]> {
    return [...this.#files].flatMap(([file, { problem }]) => (problem === undefined ? [] : [[file, problem] as const]))
  }

  /** The first check: all policies must be valid, except those of bundles that this kernel refuses. Throws CollectorError POLICY_REFUSED with every mistake; then nothing stays attached. */
  async start(): Promise<void> {
    try {
      await this.look()
      const problems = this.#fatal()
      this.reloads.begin()
      if (problems.length > 0) throw new CollectorError('POLICY_REFUSED', problems.join('\n'))
    } catch (error) {
      this[Symbol.dispose]()
      await this.#options.policies.remove(this.#own().map(({ id }) => id))
      throw error
    }
  }

  /**
   * Compares the files with the attached policies and applies the differences. Calls during a check share the next one, because their change may be
   * in a file that the running check has passed.
   */
  readonly look: () => Promise<void> = inTurn(() => this.#look())

  /** Checks, and tries refused policies again, because the kernel may have other rights, functions or modules by now. */
  lookAnew(): Promise<void> {
    for (const [file, { problem }] of this.#files) {
      if (problem !== undefined) this.#files.set(file, { digest: '', problem })
    }
    return this.look()
  }

  async #look(): Promise<void> {
    const present = new Set<string>()
    // A policy may be in several bundles, and named itself.
    const files = new Map<string, boolean>()
    for (const path of this.#paths) addFiles(files, path, await this.#filesOf(path, present))
    this.#required = new Set([...present].filter((file) => files.get(file) !== true))
    const changed: Changed[] = []
    for (const file of files.keys()) {
      const one = await this.#read(file)
      if (one !== undefined) changed.push(one)
    }
    if (this.#closed) return
    const { puts, doubles } = this.#putsOf(changed, present)
    await this.#putAll(puts)
    // The kernel refused the first of two files with one name.
    if (doubles.some(({ name, other }) => this.#loaded(other)?.id.name !== name)) {
      return this.#look()
    }
    if (this.#closed || !this.#removes) return
    await this.#remove(new Set([...this.#files.keys()].filter((known) => !present.has(known))))
  }

  /**
   * The path's files; also adds them to `present`. If a path no longer exists, its policies are removed. A path that cannot be read (no descriptors
   * left, an unreachable file server) is reported and changes nothing.
   */
  async #filesOf(path: string, present: Set<string>): Promise<string[]> {
    try {
      const files = await policyFilesAt(path)
      for (const file of files) present.add(file)
      return files
    } catch (error) {
      if (this.#closed) return []
      if (isGone(error)) {
        if (this.#loaded(path) !== undefined) return []
      } else {
        for (const file of this.#files.keys()) if (dirname(file) === path) present.add(file)
      }
      present.add(path)
      const why = error instanceof Error ? error.message : String(error)
      this.#refuse(path, why, problemOf(path, `cannot read: ${why}`))
      return []
    }
  }

  /** A changed file's policy; undefined if it has none, or is as it was. */
  async #read(file: string): Promise<Changed | undefined> {
    const read = await readTextFile(file)
    if (this.#closed) return undefined
    if ('problems' in read) {
      this.#refuse(file, JSON.stringify(read.problems), read.problems.map(formatProblem).join('\n'))
      return undefined
    }
    const digest = hash('sha256', read.text)
    if (this.#files.get(file)?.digest === digest) return undefined
    await this.#forgetErrors(file)
    const parsed = parsePolicy(read.text, file)
    if ('policy' in parsed) return { file, digest, policy: parsed.policy }
    const problems = (await withoutText(file, parsed.problems)).map(formatProblem)
    if (!this.#closed) this.#refuse(file, digest, problems.join('\n'))
    return undefined
  }

  /** Refuses names that another file has, or gets in this check. Files may swap names, and a renamed file keeps its policy. */
  #putsOf(changed: readonly Changed[], present: ReadonlySet<string>): { puts: Put[]; doubles: Double[] } {
    const changing = new Set(changed.map(({ file }) => file))
    const loaded = this.#own().filter(isLoaded)
    const stays = loaded.filter(({ id: { source } }) => present.has(source) && !changing.has(source))
    const taken = new Map(stays.map(({ id: { name, source } }) => [name, source]))
    const puts: Put[] = []
    const doubles: Double[] = []
    for (const { file, digest, policy } of changed) {
      const { name } = policy
      const other = taken.get(name)
      if (other !== undefined) {
        const problem = problemOf(file, `policy "${name}" is already loaded from ${other}: give it another name`)
        // No digest: each check tries the file again, because the other file may be removed.
        this.#refuse(file, '', problem)
        doubles.push({ name, other })
        continue
      }
      taken.set(name, file)
      const replaces = loaded.filter(({ id }) => id.source === file || (id.name === name && !present.has(id.source)))
      puts.push({
        id: { source: file, namespace: policy.namespace ?? '', name },
        policy,
        replaces: replaces.map(({ id }) => id),
        file,
        digest,
      })
    }
    return { puts, doubles }
  }

  async #putAll(puts: readonly Put[]): Promise<void> {
    const unknown: unknown[] = []
    const errors = await this.#options.policies.put(puts)
    puts.forEach(({ file, digest, policy, replaces }, i) => {
      const error = errors[i]
      if (error !== undefined) {
        const known = error instanceof CollectorError
        this.#refuse(file, digest, known ? error.message : problemOf(file, String(error)))
        if (!known) unknown.push(error)
        return
      }
      this.#files.set(file, { digest, problem: undefined })
      this.#changed(replaces.length === 0 ? 'added' : 'replaced', file, policy.name)
    })
    // A fault of ours: thrown once, because the file is not tried again until it changes.
    if (unknown.length > 0) throw unknown[0]
  }

  #refuse(file: string, digest: string, problem: string): void {
    const known = this.#files.get(file)
    if (known?.digest === digest && known.problem === problem) return
    this.#files.set(file, { digest, problem })
    this.#changed('refused', file, problem)
  }

  async #remove(files: ReadonlySet<string>): Promise<void> {
    const gone = this.#own().filter(({ id }) => files.has(id.source))
    try {
      await this.#options.policies.remove(gone.map(({ id }) => id))
    } catch (error) {
      if (!(error instanceof CollectorError)) throw error
      // The files stay known, so that each check tries again.
      const message = `the policy stays attached without its file: ${error.message}`
      for (const { id } of gone) this.#refuse(id.source, '', problemOf(id.source, message))
      return
    }
    for (const file of files) this.#files.delete(file)
    for (const { id } of gone.filter(isLoaded)) this.#changed('removed', id.source, id.name)
  }

  #changed(change: PolicyChange, file: string, detail: string): void {
    this.reloads.count(change)
    this.#options.onChange(change, file, detail)
  }

  /** The registry's policies that come from these files. */
  #own(): PolicyStatus[] {
    return this.#options.policies.list().filter(({ id }) => this.#files.has(id.source))
  }

  #loaded(file: string): PolicyStatus | undefined {
    return this.#own().find((each) => each.id.source === file && isLoaded(each))
  }

  /** Removes entries of refused policies; the file may contain another name by now. */
  async #forgetErrors(file: string): Promise<void> {
    const refused = this.#own().filter(({ id, state }) => id.source === file && state === 'error')
    if (refused.length > 0) await this.#options.policies.remove(refused.map(({ id }) => id))
  }

  /**
   * Starts watching: changes take effect within about a second if the file system reports them. Logs internal errors of a check, and why changes are
   * found by polling.
   */
  watch(log: Pick<Log, 'warn' | 'error'>): void {
    const failed = (error: unknown): void => log.error({ error: String(error) }, 'reading the policy files failed')
    const watchAll = (): void => {
      this.#watch?.[Symbol.dispose]()
      this.#watch = new PathWatch(this.#paths, {
        look: () => this.look().catch(failed),
        // The policy of another source with the name of a refused one may have been removed.
        looksAgain: () => this.problems().length > 0,
        onPolls: (reason) => log.warn({ reason }, 'changed policy files are found by polling, within ten seconds'),
      })
    }
    this.#rewatch = watchAll
    watchAll()
  }

  /**
   * Loads the policies of other paths, beside the present ones. Throws CollectorError POLICY_REFUSED if one of them is refused; then all is
   * as before. Call exactly one of the returned functions; `commit` removes policies that the other paths lack.
   */
  async prepare(paths: readonly string[]): Promise<{ commit(): Promise<void>; rollback(): Promise<void> }> {
    const before = this.#paths
    const known = new Set(this.#fatal())
    const rollback = async (): Promise<void> => {
      this.#paths = before
      this.#removes = true
      // A policy that moved to another file moves back: its file is new again.
      for (const [file, { problem }] of this.#files) {
        if (problem === undefined && this.#loaded(file) === undefined) this.#files.delete(file)
      }
      await this.look()
    }
    this.#paths = paths
    this.#removes = false
    try {
      await this.look()
      const problems = this.#fatal().filter((problem) => !known.has(problem))
      if (problems.length > 0) throw new CollectorError('POLICY_REFUSED', problems.join('\n'))
    } catch (error) {
      await rollback()
      throw error
    }
    return {
      rollback,
      commit: async () => {
        this.#removes = true
        await this.look()
        this.#rewatch()
      },
    }
  }

  /** Stops watching; attached policies stay attached. */
  [Symbol.dispose](): void {
    this.#closed = true
    this.#watch?.[Symbol.dispose]()
  }
}
