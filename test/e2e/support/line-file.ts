import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** Follows a growing text file; whole lines only. The file may be created later. */
export class LineFile {
  readonly path: string
  readonly #lines: string[] = []
  #at = 0
  #rest: Buffer = Buffer.alloc(0)

  constructor(path: string) {
    this.path = path
  }

  /** Every whole line so far; the same array grows with each call. */
  read(): readonly string[] {
    let fd: number
    try {
      fd = openSync(this.path, 'r')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return this.#lines
      throw error
    }
    try {
      const size = fstatSync(fd).size
      if (size < this.#at) throw new Error(`${this.path} shrank from ${this.#at} to ${size} bytes`)
      const bytes = Buffer.alloc(size - this.#at)
      const got = readSync(fd, bytes, 0, bytes.length, this.#at)
      this.#at += got
      const all = Buffer.concat([this.#rest, bytes.subarray(0, got)])
      let from = 0
      for (let to = all.indexOf(10); to !== -1; to = all.indexOf(10, from)) {
        this.#lines.push(all.toString('utf8', from, to))
        from = to + 1
      }
      this.#rest = all.subarray(from)
    } finally {
      closeSync(fd)
    }
    return this.#lines
  }

  /** Bytes after the last line feed: '' unless a line is torn. */
  get torn(): string {
    return this.#rest.toString()
  }
}
