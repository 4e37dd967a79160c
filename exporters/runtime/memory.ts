/**
 * Memory of bytes that have several users, given back to the allocator when the last of them is done, not at some garbage
 * collection: V8 sees little of what a buffer weighs and lets tens of MB of them gather.
 * Constraint: who never says that it is done costs no more than that, for then the collector takes the memory; so only those say
 * it who are sure that nothing of theirs, no thread and no system call, reads on.
 */
export class Memory {
  readonly #bytes: Uint8Array
  #users: number

  /** `bytes`: all of an allocation, else they are left to the collector. Nobody uses them yet, unless `users` says so. */
  constructor(bytes: Uint8Array, users = 0) {
    this.#bytes = bytes
    this.#users = users
  }

  /** There are so many users more. */
  hold(more = 1): void {
    this.#users += more
  }

  /** One user less. After the last one the bytes, and every view of them, have the length 0. */
  done(): void {
    if (--this.#users !== 0) return
    const { buffer, byteOffset, length } = this.#bytes
    // Not what lies with others in Node's pool. A spare byte is what unpacking needs.
    const alone = byteOffset === 0 && buffer.byteLength - length <= 1
    if (alone && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
