/** Sockets that a process holds from the beginning: bound, connected, listening. */
import type { Seeded } from '../../../simulation/spool/random.ts'
import { sys } from '../calls.ts'
import type { SocketFacts } from '../operators.ts'

export interface HeldSocket {
  readonly fd: number
  readonly facts: SocketFacts
}

const FAMILIES = { AF_UNIX: 1, AF_INET: 2, AF_INET6: 10 } as const
const STREAM = 1
const DATAGRAM = 2
const PROTOCOLS = { [STREAM]: 6, [DATAGRAM]: 17 } as const
const ESTABLISHED = 1
const CLOSE = 7
const LISTEN = 10
const SOL_SOCKET = 1
const SO_REUSEPORT = 15
const FIRST_FD = 60
const PORTS: readonly number[] = [22, 80, 443, 777, 1023, 1024, 5353, 8080, 40_001, 65_535]
const LOOPBACKS: readonly string[] = ['127.0.0.1', '127.0.0.2', '127.1.0.1', '127.255.255.254']
const OTHERS: readonly string[] = ['10.0.0.1', '192.168.7.9', '8.8.8.8', '0.0.0.0']
const OTHERS_6: readonly string[] = ['::1', 'fd00::1:2', '2001:db8::ff00:42:8329', '::']

/** Values of filters on them. */
export const ADDRESSES: readonly string[] = [
  ...LOOPBACKS,
  ...OTHERS,
  ...OTHERS_6,
  ...'127.0.0.0/8 127.0.0.0/30 127.0.0.3/31 10.0.0.0/8 0.0.0.0/0 128.0.0.0/1 ::/0 ::/127 fd00::/8 2001:db8::/32 8.8.8.8/32'.split(
    ' ',
  ),
]
export { PORTS }

/** A sockaddr as bytes in latin1, and its form in a policy. */
export function someAddress(random: Seeded): { readonly bytes: string; readonly facts: SocketFacts } {
  const family = random.pick(['AF_INET', 'AF_INET6', 'AF_UNIX'] as const) ?? 'AF_INET'
  const port = random.pick(PORTS) ?? 1
  const address =
    family === 'AF_UNIX' ? '' : (random.pick(family === 'AF_INET' ? [...LOOPBACKS, ...OTHERS] : OTHERS_6) ?? '')
  const facts = {
    ...factsOf(family, 0, 0),
    source: address,
    sourcePort: family === 'AF_UNIX' ? 0 : port,
  }
  return { bytes: sockaddr(family, address, port), facts }
}

const factsOf = (family: keyof typeof FAMILIES, protocol: number, state: number): SocketFacts => ({
  family,
  familyNumber: FAMILIES[family],
  protocol,
  state,
  source: '',
  destination: '',
  sourcePort: 0,
  destinationPort: 0,
})

function sockaddr(family: keyof typeof FAMILIES, address: string, port: number): string {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(FAMILIES[family])
  if (family === 'AF_UNIX') return `${bytes.subarray(0, 2).toString('latin1')}/none\0`
  bytes.writeUInt16BE(port, 2)
  if (family === 'AF_INET') {
    Buffer.from(address.split('.').map(Number)).copy(bytes, 4)
    return bytes.subarray(0, 16).toString('latin1')
  }
  const [before = '', after = ''] = address.split('::')
  const words = (part: string): number[] =>
    part
      .split(':')
      .filter(Boolean)
      .map((word) => Number.parseInt(word, 16))
  words(before).forEach((word, i) => bytes.writeUInt16BE(word, 8 + 2 * i))
  words(after)
    .toReversed()
    .forEach((word, i) => bytes.writeUInt16BE(word, 22 - 2 * i))
  return bytes.toString('latin1')
}

/** Makes sockets; `setup` gets system calls. */
export function someSockets(random: Seeded, setup: string[]): HeldSocket[] {
  const ports = PORTS.toSorted(() => random.next() - 0.5)
  return Array.from({ length: 1 + random.int(3) }, (_, i) => {
    const family = random.chance(0.6) ? 'AF_INET' : 'AF_INET6'
    const type = random.chance(0.5) ? STREAM : DATAGRAM
    const fd = FIRST_FD + i
    const own = family === 'AF_INET' ? (random.pick(LOOPBACKS) ?? '') : '::1'
    const other = family === 'AF_INET' ? (random.pick(LOOPBACKS) ?? '') : '::1'
    const [port = 1, otherPort = 1] = [ports[2 * i], ports[2 * i + 1]]
    const bytes = sockaddr(family, own, port)
    setup.push(
      sys('socket', FAMILIES[family], type, 0),
      sys('dup3', '@', fd, 0),
      sys('close', '@'),
      // Sockets of other worlds may have the same address.
      sys('setsockopt', fd, SOL_SOCKET, SO_REUSEPORT, '*', 4),
      sys('bind', fd, { text: bytes }, bytes.length),
    )
    const bound = { ...factsOf(family, PROTOCOLS[type], CLOSE), source: own, sourcePort: port }
    const unconnected = { ...bound, destination: family === 'AF_INET' ? '0.0.0.0' : '::' }
    if (random.chance(0.4)) return { fd, facts: unconnected }
    if (type === STREAM) {
      setup.push(sys('listen', fd, 1))
      return { fd, facts: { ...unconnected, state: LISTEN } }
    }
    const to = sockaddr(family, other, otherPort)
    setup.push(sys('connect', fd, { text: to }, to.length))
    return { fd, facts: { ...bound, state: ESTABLISHED, destination: other, destinationPort: otherPort } }
  })
}
