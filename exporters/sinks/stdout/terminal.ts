/**
 * A terminal that is written without waiting for it. Node's own stream for terminals makes calls that block while one is stopped
 * (Ctrl-S) or its connection stalls, and with them the whole process, signals included.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { errnoOf } from '../../contract/errors.ts'

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants
/** A terminal that takes nothing is asked again after this, then after twice as long and so on: it can not be waited for. */
const FIRST_WAIT_MS = 4
const LONGEST_WAIT_MS = 128

/** A stream to the terminal that a descriptor is; undefined where it can not be opened once more. */
export function terminal(fd: number): Writable | undefined {
  try {
    return new TerminalStream(fd)
  } catch {
    return undefined
  }
}

/** Writes at once what the terminal takes at once. */
class TerminalStream extends Writable {
  readonly #fd: number

  /** On a descriptor of its own: what is set on an inherited one (not to block) holds for the shell too. */
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
      if (errnoOf(error) === 'EAGAIN')
        setTimeout(() => this.#put(rest, Math.min(nextMs * 2, LONGEST_WAIT_MS), done), nextMs)
      else done(error instanceof Error ? error : new Error(String(error)))
      return
    }
    done()
  }
}
