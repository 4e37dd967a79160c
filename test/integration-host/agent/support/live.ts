/** A command that prints until it is ended, in this process. */
import { ktrail } from '../../../../collector/cli/ktrail.ts'

export class Live {
  /** Its words, for messages. */
  readonly command: string
  /** Its output so far. */
  out = ''
  /** Its messages so far, and why it failed. */
  err = ''
  /** The exit code; undefined while it runs. */
  code: number | undefined
  /** Settles when it has ended. */
  readonly ended: Promise<void>
  #wanted = true

  constructor(args: readonly string[]) {
    this.command = args.join(' ')
    const code = ktrail(args, {
      env: {},
      print: (part) => {
        if (this.#wanted) this.out += typeof part === 'string' ? part : Buffer.from(part).toString()
        return Promise.resolve(this.#wanted)
      },
      printError: (line) => void (this.err += `${line}\n`),
      nowMs: () => Date.now(),
    })
    this.ended = code.then(
      (value) => void (this.code = value),
      (error: unknown) => {
        this.err += String(error)
        this.code = 1
      },
    )
  }

  /** Whole lines. */
  get lines(): string[] {
    return this.out.split('\n').slice(0, -1)
  }

  /** Closes the output, as a reader that leaves: the command ends with its next line. */
  end(): void {
    this.#wanted = false
  }
}
