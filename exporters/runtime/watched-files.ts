import { stat } from 'node:fs/promises'
import { answered } from '../../config/base/time/answered.ts'
import { textOf } from '../contract/errors.ts'

/** Interval of checks. A new password is in use within five seconds. */
const LOOK_MS = 2000

/** Notices changes of the files that a connection was made from: certificates, passwords, values of headers. */
export class WatchedFiles {
  readonly #paths: readonly string[]
  readonly #renew: () => Promise<unknown>
  readonly #warn: (text: string) => void
  #known = ''
  #lookedMs = Number.NEGATIVE_INFINITY
  #looking = false
  #timer: NodeJS.Timeout | undefined
  #onChange = (): void => {}

  /** `renew` reads the files again; when it rejects, its message goes to `warn`. */
  constructor(
    paths: ReadonlyArray<string | undefined>,
    renew: () => Promise<unknown>,
    warn: (text: string) => void = () => {},
  ) {
    this.#paths = paths.filter((path) => path !== undefined)
    this.#renew = renew
    this.#warn = warn
  }

  /** Call before the files are read for the first time. */
  async mark(): Promise<void> {
    this.#known = await this.#state()
  }

  /** Checks whether a file has changed, at most every two seconds. The caller does not wait, because a file system may not answer. */
  look(): void {
    if (this.#looking || this.#paths.length === 0 || performance.now() - this.#lookedMs < LOOK_MS) return
    this.#looking = true
    void this.#check().finally(() => (this.#looking = false))
  }

  /** Settles when a file has changed and was read again; undefined without files. A later call takes its place. */
  changed(): Promise<void> | undefined {
    if (this.#paths.length === 0) return undefined
    this.stop()
    // Checks at half of the interval, because timers are not exact.
    this.#timer = setInterval(() => this.look(), LOOK_MS / 2).unref()
    return new Promise((resolve) => (this.#onChange = resolve))
  }

  /** Ends the checks for `changed`. */
  stop(): void {
    clearInterval(this.#timer)
    this.#onChange = (): void => {}
  }

  async #check(): Promise<void> {
    this.#lookedMs = performance.now()
    const state = await this.#state()
    if (state === this.#known) return
    this.#known = state
    try {
      await this.#renew()
    } catch (error) {
      this.#warn(`${textOf(error)}; the old content stays in use`)
      return
    }
    this.#onChange()
    this.stop()
  }

  async #state(): Promise<string> {
    const states = this.#paths.map(async (path) => {
      try {
        const { dev, ino, size, mtimeNs, ctimeNs } = await answered(path, () => stat(path, { bigint: true }))
        return [dev, ino, size, mtimeNs, ctimeNs].join()
      } catch {
        return 'unreadable'
      }
    })
    return (await Promise.all(states)).join(' ')
  }
}
