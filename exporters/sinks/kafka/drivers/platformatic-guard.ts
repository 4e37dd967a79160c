/**
 * A connection of @platformatic/kafka that is lost while somebody logs in emits `error` twice, and its pool listens once: Node
 * then ends the process. The library announces each connection that it makes; here each gets a listener that stays. Whoever
 * waits for the connection is told of the error all the same, by the callback of the request.
 */
import { subscribe } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'

let applied = false

/** Applies the guard, once a process. */
export function guardPlatformatic(): void {
  if (applied) return
  applied = true
  subscribe('plt:kafka:instances', (message) => {
    if (isConnection(message)) message.instance.on('error', () => undefined)
  })
}

function isConnection(message: unknown): message is { readonly instance: EventEmitter } {
  if (typeof message !== 'object' || message === null) return false
  return Reflect.get(message, 'type') === 'connection' && Reflect.get(message, 'instance') instanceof EventEmitter
}
