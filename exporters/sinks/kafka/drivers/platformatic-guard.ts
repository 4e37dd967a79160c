/**
 * Repairs connections of @platformatic/kafka. The library announces each one when it is made.
 *
 * - One that is lost during a login emits `error` twice, but its pool listens only once, so Node would end the process. Here each gets a
 *   permanent listener; requests still get the error through their callback.
 * - Its answers have no bound. Requests on a connection that we end for that would only report that it was closed: they get the cause here.
 */
import { subscribe } from 'node:diagnostics_channel'
import { Connection } from '@platformatic/kafka'
import { TLSSocket } from 'node:tls'
import { AnswerTooLarge } from '../../../../config/base/answers.ts'
import { boundAnswers } from './bounded-answers.ts'

let applied = false

/** Applies the guard once per process. */
export function guardPlatformatic(): void {
  if (applied) return
  applied = true
  subscribe('plt:kafka:instances', (message) => {
    const made: unknown = typeof message === 'object' && message !== null ? Reflect.get(message, 'instance') : undefined
    if (made instanceof Connection) guard(made)
  })
}

function guard(connection: Connection): void {
  let refused: AnswerTooLarge | undefined
  connection.on('error', ({ cause }) => {
    if (cause instanceof AnswerTooLarge) refused = cause
  })
  connection.on('connecting', () => {
    // The socket is made after this event, and nothing is read from it before it is connected.
    process.nextTick(() => {
      const { socket } = connection
      socket?.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => boundAnswers(socket))
    })
  })
  const send: Connection['send'] = connection.send.bind(connection)
  connection.send = (key, version, payload, parser, inTags, outTags, callback) =>
    send(key, version, payload, parser, inTags, outTags, (error, answer) => {
      if (error !== null && refused !== undefined) error.cause ??= refused
      callback(error, answer)
    })
}
