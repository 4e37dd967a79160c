/** A running `ktrail watch`, or another command that attaches policies, with what it has printed. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { DEADLINE_MS, until } from '../support/wait.ts'

const KTRAIL = fileURLToPath(new URL('../../../ktrail', import.meta.url))

export class Watching implements Disposable {
  stdout = ''
  stderr = ''
  readonly child: ChildProcess
  readonly ended: Promise<number | NodeJS.Signals | null>

  /** Resolves when the command watches. */
  static start(...args: readonly string[]): Promise<Watching> {
    return Watching.run('watch', ...args)
  }

  static async run(...args: readonly string[]): Promise<Watching> {
    const made = new Watching(args)
    const begins = (): boolean => {
      if (made.child.exitCode !== null) throw new Error(`ktrail ${args[0]} has ended: ${made.stderr}`)
      return made.stderr.includes('Ctrl-C ends')
    }
    // It attaches 25 functions, and starts an agent if none runs.
    await until(`ktrail ${args[0]} begins`, begins, { ms: 2 * DEADLINE_MS })
    return made
  }

  private constructor(args: readonly string[]) {
    this.child = spawn(KTRAIL, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (data: Buffer) => (this.stdout += data.toString()))
    this.child.stderr?.on('data', (data: Buffer) => (this.stderr += data.toString()))
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve(signal ?? code)))
  }

  /** Waits for a line. */
  async shows(pattern: RegExp): Promise<void> {
    await until(`a line that matches ${pattern.source}`, () => pattern.test(this.stdout)).catch((error: unknown) => {
      throw new Error(`${String(error)}\nbut:\n${this.stdout}${this.stderr}`)
    })
  }

  [Symbol.dispose](): void {
    this.child.kill('SIGKILL')
  }
}
