/**
 * Stores the last run of each exporter with numbered records. The records about the next run name it, so a reader of the sink notices a
 * missing run. One small file, rewritten at the start; the agent also works without it.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { readNamedFile } from '../../config/base/named-file.ts'
import { errnoOf } from '../../config/base/unreadable.ts'
import type { NumberedExporter } from '../../exporters/index.ts'

const FILE = 'runs.json'
/** 300 bytes each of 3,000 exporters. */
const MAX_BYTES = 1 << 20
/** No exporter has this name. Older releases leave the key alone. */
const DESTINATIONS = '/destinations'
const RUN = /^[0-9a-z]{1,64}$/

interface Warn {
  warn(fields: object, message: string): void
}

export class LastRuns {
  /** The last run before this one, by exporter. */
  readonly previous: Readonly<Record<string, string>>
  /** The destination of each exporter in that run. */
  readonly destinations: Readonly<Record<string, string>>
  readonly #file: string
  readonly #run: string
  readonly #log: Warn
  #noted = ''
  #written = Promise.resolve()
  #failed = false

  private constructor(file: string, run: string, text: string, log: Warn) {
    this.#file = file
    this.#run = run
    const known = objectOf(JSON.parse(text))
    this.previous = runsIn(known)
    this.destinations = runsIn(objectOf(known[DESTINATIONS]))
    this.#log = log
  }

  /** Reads the file of `folder`; logs why it cannot be used. `run`: this run of the agent. */
  static async open(folder: string, run: string, log: Warn): Promise<LastRuns> {
    const file = path.join(folder, FILE)
    try {
      return new LastRuns(file, run, (await readNamedFile(file, MAX_BYTES)).toString(), log)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') warn(log, file, 'read', error)
      return new LastRuns(file, run, '{}', log)
    }
  }

  /** Writes this run as the last of the exporters, unless they are the same as in the last write. Resolves when it is written; never rejects. */
  note(exporters: ReadonlyArray<Pick<NumberedExporter, 'name' | 'destination'>>): Promise<void> {
    const now = Object.fromEntries(exporters.map(({ name, destination }) => [name, destination]))
    const noted = JSON.stringify(now)
    if (noted !== this.#noted) {
      this.#noted = noted
      this.#written = this.#write(exporters, now)
    }
    return this.#written
  }

  async #write(
    exporters: ReadonlyArray<Pick<NumberedExporter, 'name'>>,
    now: Readonly<Record<string, string>>,
  ): Promise<void> {
    const own = Object.fromEntries(exporters.map(({ name }) => [name, this.#run]))
    const runs = { ...this.previous, ...own, [DESTINATIONS]: { ...this.destinations, ...now } }
    try {
      await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o700 })
      // Not through a link.
      await rm(`${this.#file}.new`, { force: true })
      await writeFile(`${this.#file}.new`, `${JSON.stringify(runs)}\n`, { flag: 'wx', mode: 0o600, flush: true })
      await rename(`${this.#file}.new`, this.#file)
      this.#failed = false
    } catch (error) {
      // The next record tries again.
      this.#noted = ''
      if (!this.#failed) warn(this.#log, this.#file, 'write', error)
      this.#failed = true
    }
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function runsIn(value: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && RUN.test(entry[1]),
    ),
  )
}

function warn(log: Warn, file: string, action: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  log.warn(
    { file, reason },
    `cannot ${action} the last runs, so ktrail audit cannot detect a missing run (see state_dir)`,
  )
}
