/**
 * Reference-counted bytes, freed when the last user calls `done` instead of at the next garbage collection: V8 underestimates
 * the size of buffers and lets tens of MB accumulate.
 * Call `done` only when no thread and no system call can still read the bytes. Not calling it is safe: the garbage collector
 * then frees them.
 */
export class Memory {
  readonly #bytes: Uint8Array
  #users: number

  /** Only bytes that are a whole allocation are freed. `users`: initial number of users. */
  constructor(bytes: Uint8Array, users = 0) {
    this.#bytes = bytes
    this.#users = users
  }

  /** Adds users. */
  hold(more = 1): void {
    this.#users += more
  }

  /** Removes one user. After the last, the bytes and all views of them have length 0. */
  done(): void {
    if (--this.#users !== 0) return
    const { buffer, byteOffset, length } = this.#bytes
    // Not a part of Node's pool. Decompression may leave one spare byte.
    const alone = byteOffset === 0 && buffer.byteLength - length <= 1
    if (alone && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
