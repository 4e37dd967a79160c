/**
 * The bounds of an answer from a sink, API server, container runtime or another agent. The server may be hostile, or another service at that
 * address.
 */
import type { ClientRequest, IncomingMessage } from 'node:http'

export const MAX_ANSWER_BYTES: number = 8 << 20
/** Servers send one or two, such as 103, which have no use here. */
const MAX_INFORMATIONAL = 16

export class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge'

  constructor(maxBytes: number, got = 'more') {
    super(`expected an answer of at most ${maxBytes} bytes, got ${got}`)
  }
}

/** The answer to a request. Rejects with the request's error, also if the connection is closed instead. */
export function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  endFlood(request)
  return new Promise((resolve, reject) => {
    request.on('response', resolve)
    request.on('error', reject)
    // Node only emits this after a 101.
    request.on('close', () => reject(new Error('the connection was closed without an answer')))
  })
}

/** Ends a request whose server sends `100 Continue`, or another informational answer, again and again. */
export function endFlood(request: ClientRequest): void {
  let count = 0
  request.on('information', () => {
    if (++count <= MAX_INFORMATIONAL) return
    request.destroy(
      new Error(`expected an answer, got more than ${MAX_INFORMATIONAL} that are only informational (1xx)`),
    )
  })
}

/** The body of an answer. Rejects with AnswerTooLarge and ends the connection if it is larger. */
export async function bodyOf(answer: IncomingMessage, maxBytes: number = MAX_ANSWER_BYTES): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop destroys the connection, the only way not to read the rest.
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new AnswerTooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}
