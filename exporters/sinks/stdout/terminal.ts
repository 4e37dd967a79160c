/**
 * Writes to a terminal without blocking. Node's terminal stream blocks the whole process, including signals, while a terminal is
 * paused (Ctrl-S) or its connection stalls.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { asError, errnoOf } from '../../contract/errors.ts'

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants
/** Delays between tries while a terminal accepts nothing, doubling each time: it cannot be polled for readiness. */
const FIRST_WAIT_MS = 4
const LONGEST_WAIT_MS = 128

/** A stream to the terminal of a descriptor; undefined if it cannot be reopened. */
export function terminal(fd: number): Writable | undefined {
  try {
    return new TerminalStream(fd)
  } catch {
    return undefined
  }
}

class TerminalStream extends Writable {
  readonly #fd: number

  /** Opens its own descriptor, because non-blocking mode on an inherited one would also affect the shell. */
  constructor(fd: number) {
    super({ decodeStrings: true })
    this.#fd = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#put(chunk, FIRST_WAIT_MS, done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    closeSync(this.#fd)
    done(error)
  }

  #put(chunk: Buffer, waitMs: number, done: (error?: Error | null) => void): void {
    let rest = chunk
    let nextMs = waitMs
    try {
      for (; rest.length > 0; nextMs = FIRST_WAIT_MS) rest = rest.subarray(writeSync(this.#fd, rest))
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') return done(asError(error))
      setTimeout(() => this.#put(rest, Math.min(nextMs * 2, LONGEST_WAIT_MS), done), nextMs)
      return
    }
    done()
  }
}
