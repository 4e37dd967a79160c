/** The sockets of kafkajs: each has bounded answers and tries all addresses of a name; a client's sockets can be ended at once. */
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ISocketFactory } from 'kafkajs'
import { textOf } from '../../../contract/errors.ts'
import { boundAnswers } from './bounded-answers.ts'

const KEEP_ALIVE_MS = 60_000
const GIVEN_UP = 'this connection is given up'
/** For a colon in the host of a seed broker; no host name has it. */
const COLON = ';'

const ours = new WeakSet<ISocketFactory>()

/** True for the factory of any `Sockets`. */
export function isOurs(factory: ISocketFactory): boolean {
  return ours.has(factory)
}

/** The address of a seed broker, which kafkajs splits at its first colon: an IPv6 address in brackets becomes one without colons. */
export function seedOf(address: string): string {
  return address.replace(/^\[(.*)\]/, (_, host: string) => host.replaceAll(':', COLON))
}

/** The sockets of one client, so that all can be ended at once. */
export class Sockets {
  readonly factory: ISocketFactory
  readonly #open = new Set<Socket>()
  #ended = false

  constructor() {
    this.factory = ({ host, port, ssl, onConnect }) => this.#connect(host.replaceAll(COLON, ':'), port, ssl, onConnect)
    ours.add(this.factory)
  }

  /** Makes running requests and later connections fail. */
  destroy(): void {
    this.#ended = true
    for (const socket of this.#open) socket.destroy(new Error(GIVEN_UP))
  }

  #connect(host: string, port: number, ssl: object | undefined, onConnect: () => void): Socket {
    // An IP address must not be sent as server name; certificates are still checked against it.
    const socket = ssl
      ? connectTls({ host, port, ...(isIP(host) > 0 ? {} : { servername: host }), ...ssl }, onConnect)
      : connect({ host, port }, onConnect)
    boundAnswers(socket)
    // Node tries all addresses of a name, and its error of several attempts has no message; kafkajs passes on nothing else.
    socket.prependListener('error', (error) => {
      if (error instanceof AggregateError) error.message ||= error.errors.map(textOf).join(', ')
    })
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    if (this.#ended) socket.destroy(new Error(GIVEN_UP))
    return socket
  }
}
