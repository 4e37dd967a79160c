/**
 * The bound of Kafka's answers. An answer begins with its length in four bytes, and kafkajs and @platformatic/kafka buffer bytes up to that length:
 * 2 GiB, or 1.2 GB if an HTTP server answers.
 */
import type { Socket } from 'node:net'
import { AnswerTooLarge, MAX_ANSWER_BYTES } from '../../../../config/base/answers.ts'

const LENGTH_BYTES = 4
const NEXT_STEP = 'check that a Kafka broker listens there, with or without TLS'

/** Destroys the socket when it announces a longer answer. Call it where data is read, before any has come. */
export function boundAnswers(socket: Socket): void {
  const head = Buffer.alloc(LENGTH_BYTES)
  /** Bytes of `head` that have come. */
  let known = 0
  /** Bytes of the current answer that have not come. */
  let missing = 0
  socket.prependListener('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length;) {
      if (missing === 0) {
        head[known++] = chunk[at++] ?? 0
        if (known < LENGTH_BYTES) continue
        known = 0
        missing = head.readUInt32BE(0)
        if (missing > MAX_ANSWER_BYTES) {
          return void socket.destroy(new AnswerTooLarge(MAX_ANSWER_BYTES, `${missing}; ${NEXT_STEP}`))
        }
      }
      const here = Math.min(missing, chunk.length - at)
      missing -= here
      at += here
    }
  })
}
