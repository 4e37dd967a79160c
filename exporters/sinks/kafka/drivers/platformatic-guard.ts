/**
 * A connection of @platformatic/kafka that is lost during a login emits `error` twice, but its pool listens only once, so Node
 * would end the process. The library announces each connection; here each gets a permanent listener. Requests still get the error
 * through their callback.
 */
import { subscribe } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'

let applied = false

/** Applies the guard once per process. */
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
