/** A pod whose agent has handed over to the agent of another pod, in an update with `maxSurge`. */
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../../../config/agent/schema.ts'
import { listenAt } from './listen.ts'
import { isLocked } from './lock.ts'

const LOOK_MS = 2_000
const ALIVE = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/**
 * Waits for a signal, because the kubelet would start an ended container again, and its agent would take over. Answers its probe meanwhile, for the
 * same reason. Also ends when no agent runs any more, for instance after a rollback: then the kubelet shall start this one again.
 */
export async function untilReplaced(
  http: Config['server']['http'],
  signalled: Promise<unknown>,
  lockPath?: string,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.setTimeout(LOOK_MS, () => socket.destroy())
    socket.end(ALIVE)
  })
  const stays = async (): Promise<boolean> =>
    Promise.race([signalled.then(() => false), pause(LOOK_MS).then(() => isLocked(lockPath))])
  // In the network of the host, the other agent needs the address first, and answers the probe.
  if (await stays()) await listenAt(server, http, 'server.http').catch(() => '')
  while (await stays());
  server.close()
}
