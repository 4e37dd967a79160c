/** Streams of messages to clients that may be slow. */
import { Metadata } from '@grpc/grpc-js'
import type { ServerWritableStream } from '@grpc/grpc-js'

/** Most bytes that a stream holds; one message may exceed it. */
const SEND_BYTES = 64 << 10

type Stream = ServerWritableStream<unknown, Uint8Array>

/** Writes to a stream and waits while too much is on its way. */
export class Sending {
  readonly #call: Stream
  #bytes = 0
  #wake: () => void = () => {}

  constructor(call: Stream) {
    this.#call = call
    // grpc-js sends one message at a time, which makes one per turn of the event loop. So all waiting messages go together.
    // oxlint-disable no-underscore-dangle -- Node's names for what a stream implements
    call._writev = (waiting, done) => {
      let left = waiting.length
      for (const { chunk, encoding } of waiting)
        call._write(chunk, encoding, (error?: Error | null) => void (--left === 0 && done(error)))
    }
    // oxlint-enable no-underscore-dangle
    // Sent at once, so that the client knows that it is connected.
    call.sendMetadata(new Metadata())
    // After a cancellation, written messages are never reported as sent.
    call.once('cancelled', () => this.#wake())
  }

  write(message: Uint8Array): Promise<void> | undefined {
    if (this.#call.cancelled) return undefined
    this.#bytes += message.length
    this.#call.write(message, () => {
      this.#bytes -= message.length
      if (this.#bytes <= SEND_BYTES) this.#wake()
    })
    if (this.#bytes <= SEND_BYTES) return undefined
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
