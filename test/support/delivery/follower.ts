import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { numbersIn } from './events.ts'
import type { Ledger } from './ledger.ts'

const EVERY_MS = 20

/** Passes the lines appended to a JSON lines file to a ledger, as they are written. */
export class Follower implements Disposable {
  readonly #path: string
  readonly #ledger: Ledger
  readonly #timer: NodeJS.Timeout
  #run = 0
  #at = 0
  #torn = false
  #failure: unknown

  constructor(path: string, ledger: Ledger) {
    this.#path = path
    this.#ledger = ledger
    this.#timer = setInterval(() => {
      try {
        this.#read()
      } catch (error) {
        this.#failure ??= error
      }
    }, EVERY_MS)
  }

  /** The run that writes now. */
  follow(run: number): void {
    this.#run = run
  }

  /** Its run has ended: reads the rest. A torn last line gets a line feed by the next run, and is no event. */
  end(): void {
    const rest = this.#read()
    if (this.#failure !== undefined) throw this.#failure
    if (rest === 0) return
    this.#torn = true
    this.#at += rest
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** Returns the number of bytes after the last whole line. */
  #read(): number {
    const fd = openSync(this.#path, 'a+')
    try {
      const bytes = Buffer.alloc(fstatSync(fd).size - this.#at)
      readSync(fd, bytes, 0, bytes.length, this.#at)
      let from = 0
      if (this.#torn && bytes.length > 0) {
        if (bytes[0] !== 0x0a) throw new Error(`${this.#path}: a torn line got no line feed`)
        this.#torn = false
        from = 1
      }
      const whole = Math.max(from, bytes.lastIndexOf('\n') + 1)
      this.#ledger.take(this.#run, numbersIn(bytes.toString('utf8', from, whole)))
      this.#at += whole
      return bytes.length - whole
    } finally {
      closeSync(fd)
    }
  }
}
