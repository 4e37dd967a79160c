/** Tools of `make bypass-matrix`. To add one, write an object of this kind, and a row of all.ts and of ../reasons.ts. */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { once } from 'node:events'
import { freshFolder } from '../../e2e/support/agent.ts'
import { LineFile } from '../../e2e/support/line-file.ts'
import { until } from '../../e2e/support/wait.ts'
import type { Done, Report } from '../judge.ts'

/** Folders of a tool's own on a file system with a device. */
export interface Place {
  readonly watched: string
  readonly outside: string
  /** Only opens and reads follow: a tool that loads a program for each function may leave out others. */
  readonly fewHooks?: true
}

/** A tool after SIGKILL to its process. */
export interface Killed {
  /** The cause of its next start; absent if there is none. */
  readonly again?: string
  /** Its own statement about the time between, as the page has it. Called when it has reported what came later. */
  says(): string
}

export interface Running extends AsyncDisposable {
  /** Called when the accessing process of a way waits for its access. */
  begins?(done: Done): Promise<void> | void
  /** For a tool that compares states: called when the processes of all ways wait. They then go on together. */
  baseline?(): void
  /** All reports about what happened before the call. */
  reports(): Promise<readonly Report[]>
  /** Ends its process by SIGKILL, calls `gap`, and starts it again if its package does. Afterwards `reports` may lack the newest ones. */
  killed?(gap: () => void): Promise<Killed>
}

export interface Tool {
  readonly name: string
  /** The Debian package, if it is one. */
  readonly package?: string
  /** The version of a build that the user brings. */
  version?(): string
  /** Its settings for a folder WATCHED, as the page shows them. */
  readonly settings: string
  start(place: Place): Promise<Running>
}

interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** The file of its reports, unless it prints them. */
  readonly events?: string
}

/** A tool may compile its programs, or scan all files, before it reports anything. */
const READY_MS = 600_000

/** A program with its output in a file. */
export class Program implements AsyncDisposable {
  readonly #child: ReturnType<typeof spawn>
  readonly #ended: Promise<unknown>
  readonly out: LineFile
  readonly err: LineFile

  constructor([program, ...words]: readonly [string, ...string[]], { env = {}, events }: Options = {}) {
    const folder = freshFolder('tool')
    this.out = new LineFile(events ?? `${folder}/out`)
    this.err = new LineFile(`${folder}/err`)
    const files = [openSync(`${folder}/out`, 'w'), openSync(this.err.path, 'w')] as const
    this.#child = spawn(program, words, { stdio: ['ignore', ...files], env: { ...process.env, ...env } })
    this.#ended = once(this.#child, 'exit')
    for (const file of files) closeSync(file)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Waits for a condition; fails if the program ends before. */
  until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    const more = (): string => `\n${[...this.err.read(), ...this.out.read()].slice(-10).join('\n')}`
    return until(
      what,
      () => {
        const found = look()
        if ((found === undefined || found === false) && this.#child.exitCode !== null)
          throw new Error(`${this.#child.spawnfile} ended with ${this.#child.exitCode} before: ${what}${more()}`)
        return found
      },
      { ms: READY_MS, more },
    )
  }

  /** Repeats an action until a line of the output has a text. */
  shows(text: string, action: () => void): Promise<unknown> {
    return this.until(`a line with ${text}`, () => {
      action()
      return this.out.read().some((line) => line.includes(text))
    })
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.isRunning) this.#child.kill(signal)
    await this.#ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end('SIGTERM')
  }
}

export const output = (program: string, ...words: readonly string[]): string =>
  execFileSync(program, words, { encoding: 'utf8', maxBuffer: 64 << 20 })
