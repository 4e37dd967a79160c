/**
 * Divides the event loop and memory between the clients that get single answers.
 *
 * Clients may be hostile. One answer is made in a turn of the event loop, for one connection after the other. A thousand calls of one
 * client delay another client by one answer. The unread bytes of each connection are bounded.
 */
import { setImmediate } from 'node:timers/promises'
import type { ServerDuplexStream, ServerUnaryCall } from '@grpc/grpc-js'
import { ApiError } from './errors.ts'

type Call =
  | Pick<ServerUnaryCall<unknown, unknown>, 'getPeer' | 'cancelled' | 'once' | 'off'>
  | ServerDuplexStream<unknown, unknown>

/** Bound of one connection; the last answer may exceed it. */
const MAX_UNREAD_BYTES = 1 << 20

export class Share {
  /** Calls by peer; those whose turn is next come first. */
  readonly #waiting = new Map<string, Array<() => void>>()
  readonly #unread = new Map<string, number>()
  #running = false

  /**
   * Makes an answer when it is the call's turn, and resolves when `send` calls `taken` or the call ends. Throws ApiError if the client left, or
   * reads too little.
   */
  async answer(
    call: Call,
    make: () => Uint8Array | Promise<Uint8Array>,
    send: (bytes: Uint8Array, taken: () => void) => void,
  ): Promise<void> {
    const peer = call.getPeer()
    await this.#turn(peer)
    const unread = this.#unread.get(peer) ?? 0
    if (unread > MAX_UNREAD_BYTES)
      throw new ApiError('RESOURCE_EXHAUSTED', `this client has ${unread} unread bytes of answers: read them first`)
    const bytes = call.cancelled ? undefined : await make()
    if (bytes === undefined || call.cancelled) throw new ApiError('CANCELLED', 'the client has disconnected')
    this.#count(peer, bytes.length)
    const { promise, resolve } = Promise.withResolvers<void>()
    call.once('cancelled', resolve)
    send(bytes, resolve)
    await promise
    call.off('cancelled', resolve)
    this.#count(peer, -bytes.length)
  }

  #count(peer: string, bytes: number): void {
    const unread = (this.#unread.get(peer) ?? 0) + bytes
    if (unread === 0) this.#unread.delete(peer)
    else this.#unread.set(peer, unread)
  }

  #turn(peer: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(peer)
      if (waiting === undefined) this.#waiting.set(peer, [resolve])
      else waiting.push(resolve)
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#waiting.size > 0) {
      for (const [peer, waiting] of this.#waiting) {
        await setImmediate()
        waiting.shift()?.()
        if (waiting.length === 0) this.#waiting.delete(peer)
      }
    }
    this.#running = false
  }
}
