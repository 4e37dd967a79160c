/** A connection to a sink that is made and checked, and not used. */
import type { Agent } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { endFlood } from '../../../config/base/answers.ts'
import { http } from '../../../config/base/http.ts'
import { errnoOf } from '../../contract/errors.ts'

/** Connects as a request with this agent would; resolves to its findings. Rejects with the error of the connection. */
export function connection(url: URL, agent: Agent | undefined, signal: AbortSignal): Promise<string> {
  const { request } = url.protocol === 'https:' ? https : http
  return new Promise((resolve, reject) => {
    // Without a write or an end no byte of the request is sent.
    const asked = request(url, { method: 'POST', agent, signal })
    endFlood(asked)
    asked.on('error', (error) => reject(readable(error)))
    asked.on('close', () => reject(new Error('the sink closed the connection')))
    const end = (found: string): void => {
      resolve(found)
      asked.destroy()
    }
    asked.on('socket', (socket) => {
      if (!(socket instanceof TLSSocket)) return void socket.once('connect', () => end(`${peerOf(socket)}, plain`))
      socket.once('secureConnect', () =>
        end(`${peerOf(socket)}, ${socket.getProtocol() ?? 'TLS'}, ${certificateOf(socket)}`),
      )
    })
  })
}

/** OpenSSL's own messages name lines of its source, and Node's speak of its options. */
export function readable(error: Error): Error {
  const { reason } = { reason: undefined, ...error }
  const message = typeof reason === 'string' ? reason : error.message.replace(/; if the root CA .*/, '')
  return Object.assign(new Error(message, { cause: error }), { code: errnoOf(error) })
}

function peerOf({ remoteAddress = '', remotePort, remoteFamily }: Socket): string {
  return `connected to ${remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`
}

function certificateOf(socket: TLSSocket): string {
  const { valid_to: until } = socket.getPeerCertificate()
  const date = new Date(until)
  const valid = Number.isNaN(date.getTime()) ? '' : ` valid until ${date.toISOString().slice(0, 10)}`
  return socket.authorized ? `certificate${valid}` : `certificate${valid}, not verified`
}
