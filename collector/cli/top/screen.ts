/** A terminal that shows one screen again and again and passes keys. Restores the terminal, however the process ends. */

/** Alternate screen, no cursor, no wrapping of long lines. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l'

export class Screen implements Disposable {
  readonly #onKey: (key: string) => void
  readonly #onResize: () => void
  readonly #leave = (): void => {
    process.stdin.setRawMode(false)
    process.stdout.write(LEAVE)
  }
  readonly #keys = (bytes: Buffer): void => this.#onKey(bytes.toString())

  /** `onKey` gets the bytes of a key; Ctrl-C is `\x03`. */
  constructor(onKey: (key: string) => void, onResize: () => void) {
    this.#onKey = onKey
    this.#onResize = onResize
    process.once('exit', this.#leave)
    process.stdout.write(ENTER)
    process.stdin.setRawMode(true).on('data', this.#keys)
    process.stdout.on('resize', this.#onResize)
  }

  get size(): { readonly columns: number; readonly rows: number } {
    const { columns = 80, rows = 24 } = process.stdout
    // The width without the last column, which terminals treat differently if they do not wrap.
    return { columns: Math.max(40, columns) - 1, rows: Math.max(10, rows) }
  }

  /**
   * Clears each line first: after a full line that would take its last character. Lines hold no control characters. A terminal that does not read
   * gets no further text.
   */
  show(lines: readonly string[], color: boolean): void {
    if (process.stdout.writableLength > 0) return
    const text = lines.map((line) => `\x1b[K${color ? colored(line) : line}`).join('\r\n')
    process.stdout.write(`\x1b[H${text}\x1b[J`)
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#leave)
    process.stdin.off('data', this.#keys).pause()
    process.stdout.off('resize', this.#onResize)
    this.#leave()
  }
}

/** Titles of tables are bold, values that need attention red. */
function colored(line: string): string {
  if (/^(?:EXPORTER|POLICY|BINARIES) /.test(line)) return `\x1b[1m${line}\x1b[0m`
  return /^(?:NOT READY|lost )/.test(line) && !line.endsWith(': none') ? `\x1b[31m${line}\x1b[0m` : line
}
