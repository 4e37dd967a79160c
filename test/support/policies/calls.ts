/** The workload: test/fixtures/e2e/calls.c, which makes the system calls of a script and no others. */
import { spawn } from 'node:child_process'
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeProgram } from '../programs.ts'

const FOLDER = process.env['KTRAIL_TMP'] ?? tmpdir()
const BUILT = join(FOLDER, 'ktrail-calls')

/** A number, a text (bytes as latin1), or a word of the script: `@`, `=`, `*`, `-`. */
export type Word = bigint | number | { readonly text: string } | '@' | '=' | `*${number | ''}` | '-'

function encoded(word: Word): string {
  if (typeof word === 'string') return word
  if (typeof word !== 'object') return `#${BigInt.asUintN(64, BigInt(word))}`
  const plain = (character: string): boolean => /[\w/.+-]/.test(character)
  return `:${[...word.text].map((c) => (plain(c) ? c : `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`)).join('')}`
}

/** A line of the script; see calls.c. */
export const line = (verb: string, ...words: readonly Word[]): string => [verb, ...words.map(encoded)].join(' ')
export const sys = (name: string, ...words: readonly Word[]): string => line(`sys ${name}`, ...words)

export function callsBinary(): string {
  if (!existsSync(BUILT)) {
    makeProgram('e2e/calls', `${BUILT}.new`)
    renameSync(`${BUILT}.new`, BUILT)
  }
  return BUILT
}

/** A process that has made its first calls and waits to make others. */
export class Calls implements Disposable {
  readonly pid: number
  readonly #child
  readonly #lines: AsyncIterator<string>

  private constructor(script: string) {
    this.#child = spawn(callsBinary(), [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.pid = this.#child.pid ?? 0
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** Makes the first calls; throws if one of them fails. Each of `rounds` then needs a `go`. */
  static async start(first: readonly string[], rounds: ReadonlyArray<readonly string[]>): Promise<Calls> {
    const script = join(FOLDER, `ktrail-script-${process.pid}`)
    writeFileSync(script, [first, ...rounds].map((lines) => lines.join('\n')).join('\ngo\n'))
    const calls = new Calls(script)
    const results = await calls.#results(first.length)
    const failed = results.findIndex((result) => result < 0n)
    if (failed < 0) return calls
    calls[Symbol.dispose]()
    throw new Error(`"${first[failed]}" failed with ${results[failed]}`)
  }

  /** Makes the calls of the next round; returns their results, a negative errno for a failure. */
  async go(expected: number): Promise<bigint[]> {
    process.kill(this.pid, 'SIGUSR1')
    return this.#results(expected)
  }

  async #results(expected: number): Promise<bigint[]> {
    const next = await this.#lines.next()
    const results = next.done === true ? [] : next.value.split(' ').filter(Boolean).map(BigInt)
    if (results.length === expected) return results
    throw new Error(`calls: expected ${expected} results, got ${results.length} (exit code ${this.#child.exitCode})`)
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
