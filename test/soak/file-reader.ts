/** Follows the output of a file exporter across its rotations, and accounts for the numbers. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import type { Account } from './account.ts'

/** The number in `ktrail`, the last key of a line. */
const NUMBER = /"ktrail":\{"seq":"[^"-]+-(\d+)",.*\}\}$/
const BUFFER_BYTES = 1 << 20

export class FileReader implements Disposable {
  readonly #path: string
  readonly #account: Account
  readonly #buffer: Buffer = Buffer.alloc(BUFFER_BYTES)
  #fd: number | undefined
  #ino = 0
  /** Beginning of a line whose end is not written yet. */
  #rest = ''

  constructor(path: string, account: Account) {
    this.#path = path
    this.#account = account
  }

  /** To be called more often than the file is rotated. Throws at a line that is torn or has no number. */
  read(): void {
    if (this.#fd !== undefined) this.#drain(this.#fd)
    const ino = statSync(this.#path, { throwIfNoEntry: false })?.ino
    if (ino === undefined || ino === this.#ino) return
    if (this.#fd !== undefined) {
      // Lines written between the read above and the rename.
      this.#drain(this.#fd)
      if (this.#rest !== '') throw new Error(`a rotated file ends in a torn line: ${this.#rest.slice(-80)}`)
      closeSync(this.#fd)
    }
    this.#fd = openSync(this.#path, 'r')
    this.#ino = fstatSync(this.#fd).ino
    this.#drain(this.#fd)
  }

  #drain(fd: number): void {
    for (;;) {
      const length = readSync(fd, this.#buffer, 0, BUFFER_BYTES, null)
      if (length === 0) return
      // Latin-1 splits no character, and the numbers are ASCII.
      const lines = (this.#rest + this.#buffer.toString('latin1', 0, length)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#line(line)
    }
  }

  #line(line: string): void {
    const number = NUMBER.exec(line)?.[1]
    if (number === undefined || !line.startsWith('{')) throw new Error(`expected an event, got ${line.slice(-200)}`)
    this.#account.take(Number(number))
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
  }
}
