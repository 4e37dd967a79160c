/** Names of users from a passwd file. It is read again when it has changed. Names that only a directory service knows are not found. */
import { statSync } from 'node:fs'
import { readAtMost } from '../../host/read.ts'

/** Bytes read of the file: 10,000 users and more. */
const MOST_BYTES = 1 << 20
/** Longest name that useradd accepts, and some more. */
const MOST_NAME = 64
const LOOK_MS = 5_000

export class UserNames {
  readonly #file: string
  readonly #changed: () => void
  readonly #nowMs: () => number
  #names: ReadonlyMap<number, string> = new Map()
  /** Identifies the file that was read. */
  #mark = ''
  #lookedMs = -Infinity

  /** `changed` is called when names have changed. `nowMs`: monotonic. */
  constructor(file: string, changed: () => void, nowMs: () => number = () => performance.now()) {
    this.#file = file
    this.#changed = changed
    this.#nowMs = nowMs
  }

  /** Checks the file, at most every few seconds. Cheap in between. */
  refresh(): void {
    const now = this.#nowMs()
    if (now - this.#lookedMs < LOOK_MS) return
    this.#lookedMs = now
    try {
      const { ino, mtimeMs, size } = statSync(this.#file)
      const mark = `${ino} ${mtimeMs} ${size}`
      if (mark === this.#mark) return
      this.#names = namesIn(readAtMost(this.#file, MOST_BYTES))
      this.#mark = mark
    } catch {
      if (this.#mark === '') return
      this.#names = new Map()
      this.#mark = ''
    }
    this.#changed()
  }

  name(uid: number): string | undefined {
    return this.#names.get(uid)
  }
}

/** The first name of an id counts, as for getpwuid(3). */
function namesIn(passwd: string): Map<number, string> {
  const names = new Map<number, string>()
  for (const line of passwd.split('\n')) {
    const [name = '', , uid = ''] = line.split(':', 3)
    if (name === '' || name.length > MOST_NAME || name.startsWith('#') || !/^\d{1,10}$/.test(uid)) continue
    if (!names.has(Number(uid))) names.set(Number(uid), name)
  }
  return names
}
