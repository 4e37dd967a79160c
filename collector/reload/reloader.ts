/**
 * The config in effect and its reloads: by SIGHUP, and when its file, a drop-in file or a file with a secret changes. A reload is applied as a whole
 * or refused as a whole; a refusal changes nothing and is logged once for each change of the files.
 */
import { createHash } from 'node:crypto'
import { changesOf, restartProblems } from '../../config/agent/changes.ts'
import type { Change } from '../../config/agent/changes.ts'
import { parseConfigFile } from '../../config/agent/check.ts'
import type { ConfigResult, LoadedConfig } from '../../config/agent/load.ts'
import { dropInFolder } from '../../config/agent/loading/drop-ins.ts'
import { pathKey } from '../../config/agent/loading/explain.ts'
import type { Environment } from '../../config/agent/loading/substitute.ts'
import type { Config } from '../../config/agent/schema.ts'
import { configWarnings } from '../../config/agent/warnings.ts'
import { ConfigError } from '../../config/yaml/errors.ts'
import { PathWatch } from '../policies/watch.ts'
import { inTurn } from '../../config/base/mutex.ts'
import type { Log } from '../host/log.ts'

export type ReloadResult = 'applied' | 'unchanged' | 'refused'

/** State for /status and the metrics. Times are milliseconds since 1970. */
export interface ConfigState {
  /** SHA-256, in hex. */
  readonly hash: string
  readonly files: readonly string[]
  readonly sinceMs: number
  readonly counts: Readonly<Record<ReloadResult, number>>
  readonly refused: { readonly timeMs: number; readonly reason: string } | undefined
}

export interface ReloaderOptions {
  readonly file: string
  readonly env: Environment
  /** The config of the start. */
  readonly loaded: LoadedConfig
  /** Applies a valid config as a whole, or rejects and changes nothing. Ends soon when `stop` aborts. */
  readonly apply: (next: Config, before: Config, stop: AbortSignal) => Promise<void>
  readonly log: Log
  /** Gets the keys that changed when they are in effect. */
  readonly changed?: (keys: readonly string[]) => void
  /** Default: `parseConfigFile`. */
  readonly read?: (file: string, env: Environment) => Promise<ConfigResult>
}

/** More changed keys are only counted. */
const MOST_LOGGED = 50

export class Reloader implements Disposable {
  readonly #options: ReloaderOptions
  readonly #stopping = new AbortController()
  readonly #counts: Record<ReloadResult, number> = { applied: 0, unchanged: 0, refused: 0 }
  #loaded: LoadedConfig
  #sinceMs = Date.now()
  #refused: ConfigState['refused']
  /** The content that was last read: the watch reads again and again. */
  #seen: string
  /** Whether a user requested the next reload. */
  #asked = false
  #watch: Disposable | undefined

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#loaded = options.loaded
    this.#seen = contentOf(options.loaded)
  }

  get state(): ConfigState {
    const { hash, files } = this.#loaded
    return { hash, files, sinceMs: this.#sinceMs, counts: { ...this.#counts }, refused: this.#refused }
  }

  /** SIGHUP: reads the files and applies the changes. One reload at a time; calls during one share the next. Never rejects. */
  reload(): Promise<void> {
    return this.#look(true)
  }

  /** Ends the watch and refuses later reloads; resolves when a running reload has ended. */
  async end(): Promise<void> {
    this[Symbol.dispose]()
    this.#stopping.abort(new Error('the agent stops'))
    await this.#look(false)
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]()
    this.#watch = undefined
  }

  /** Watches the files that the config has now. */
  watch(): void {
    const { file, log } = this.#options
    const paths = [file, dropInFolder(file), ...this.#loaded.secretFiles.keys()]
    this.#watch?.[Symbol.dispose]()
    const onPolls = (reason: string): void =>
      log.warn({ reason }, 'a changed config is found by polling, within ten seconds')
    this.#watch = new PathWatch(paths, { look: () => this.#look(false), onPolls })
  }

  #look(asked: boolean): Promise<void> {
    this.#asked ||= asked
    return this.#readInTurn()
  }

  readonly #readInTurn = inTurn(() => {
    const asked = this.#asked
    this.#asked = false
    return this.#read(asked)
  })

  async #read(asked: boolean): Promise<void> {
    const { file, env, read = parseConfigFile } = this.#options
    if (this.#stopping.signal.aborted) {
      if (asked) this.#refuse('the agent stops')
      return
    }
    const result = await read(file, env)
    const content = contentOf(result)
    // Without a change, only a user's request is answered.
    if (content === this.#seen && !asked) return
    this.#seen = content
    try {
      if ('problems' in result) throw new ConfigError(result.problems)
      const changes = changesOf(this.#loaded, result, env)
      if (changes.length > 0) await this.#apply(result, changes)
      else this.#unchanged(result, asked)
    } catch (error) {
      this.#refuse(error instanceof Error ? error.message : String(error))
    }
  }

  async #apply(next: LoadedConfig, changes: readonly Change[]): Promise<void> {
    const { file, apply, log, changed } = this.#options
    const problems = restartProblems(changes, next, file)
    if (problems.length > 0) throw new ConfigError(problems)
    for (const { message } of await configWarnings(next, file)) log.warn(message)
    await apply(next.config, this.#loaded.config, this.#stopping.signal)
    // Defaults of an added or removed exporter are no changes.
    const made = changes.filter(
      ({ path, from, to }) =>
        (from !== undefined && to !== undefined) || (to === undefined ? this.#loaded : next).origins.has(pathKey(path)),
    )
    for (const { key, from, to } of made.slice(0, MOST_LOGGED)) log.info({ key, from, to }, 'config changed')
    if (made.length > 0) changed?.(made.map(({ key }) => key))
    log.info({ changes: made.length, hash: next.hash, files: next.files }, 'config reloaded')
    // Without this check, a level that was set over the API would be lost.
    if (next.config.log.level !== this.#loaded.config.log.level) log.level = next.config.log.level
    this.#use(next)
    this.#counts.applied++
  }

  /** Other comments or another order, or nothing at all. */
  #unchanged(next: LoadedConfig, asked: boolean): void {
    if (next.hash !== this.#loaded.hash) this.#use(next)
    this.#counts.unchanged++
    const { log } = this.#options
    if (asked) log.info({ hash: next.hash }, 'the config has not changed')
  }

  #use(next: LoadedConfig): void {
    this.#loaded = next
    this.#sinceMs = Date.now()
    if (this.#watch !== undefined) this.watch()
  }

  #refuse(reason: string): void {
    this.#counts.refused++
    this.#refused = { timeMs: Date.now(), reason }
    this.#options.log.error({ reason }, 'the changed config is refused, and the previous config stays in effect')
  }
}

/** Identifies the read content; not by the text alone, because values may come from other files. */
function contentOf(result: ConfigResult): string {
  const content = 'problems' in result ? result.problems : [result.hash, result.config]
  return createHash('sha256').update(JSON.stringify(content)).digest('hex')
}
