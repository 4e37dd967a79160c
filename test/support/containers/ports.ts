import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'

/** Ports that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- TCP servers that listen
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  const closed = servers.map((server) => once(server, 'close'))
  for (const server of servers) server.close()
  await Promise.all(closed)
  return ports
}
