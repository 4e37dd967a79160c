/** Members of a sock, socket, skb or sockaddr (`struct socket_info` of bpf/event.h), as Tetragon's records have them. */
import { FAMILIES, PROTOCOLS, SOCKET_TYPES, STATES, nameOf } from '../../../config/policy/selectors/socket-names.ts'
import type { StructArgument } from '../../../exporters/contract/event.ts'
import { SOCKET_INFO } from '../../wire/wire.ts'

type Members = StructArgument['members']
type Member = Members[number]

const AF_INET = 2
const AF_INET6 = 10

/** `field`: the key in records. `at`: of the struct in the bytes. */
export function socketArgument(field: string, bytes: Buffer, at: number): StructArgument {
  const half = (offset: number): number => bytes.readUInt16LE(at + offset)
  const word = (offset: number): number => bytes.readUInt32LE(at + offset)
  const family = half(SOCKET_INFO.family)
  const protocol = half(SOCKET_INFO.protocol)
  const saddr = addressText(bytes, at + SOCKET_INFO.saddr, family)
  const daddr = addressText(bytes, at + SOCKET_INFO.daddr, family)
  const sport = half(SOCKET_INFO.sport)
  const dport = half(SOCKET_INFO.dport)
  const named: Member = ['family', nameOf(FAMILIES, family)]
  const mark: Member = ['mark', word(SOCKET_INFO.mark)]
  const priority: Member = ['priority', word(SOCKET_INFO.priority)]
  // Nothing is known of a packet without an IP header.
  const isKnown = field !== 'skb_arg' || family !== 0
  const protocolName = isKnown ? nameOf(PROTOCOLS, protocol) : ''
  const ends: Members = [
    ['saddr', saddr],
    ['daddr', daddr],
    ['sport', sport],
    ['dport', dport],
  ]
  switch (field) {
    case 'sockaddr_arg':
      return struct(field, endText(saddr, sport), [named, ['addr', saddr], ['port', sport]])
    case 'skb_arg':
      return struct(field, flowText(protocolName, saddr, sport, daddr, dport), [
        ['hash', word(SOCKET_INFO.hash)],
        ['len', word(SOCKET_INFO.len)],
        priority,
        mark,
        ...ends,
        ['proto', protocol],
        ['protocol', protocolName],
        ['family', isKnown ? named[1] : ''],
      ])
    default:
      return struct(field, flowText(protocolName, saddr, sport, daddr, dport), [
        named,
        ['type', nameOf(SOCKET_TYPES, half(SOCKET_INFO.type))],
        ['protocol', protocolName],
        mark,
        priority,
        ...ends,
        ['cookie', bytes.readBigUInt64LE(at + SOCKET_INFO.object)],
        ['state', nameOf(STATES, half(SOCKET_INFO.state))],
      ])
  }
}

/** The address of a Unix socket: bpf/args/socket.h put_unix_address. */
export const unixArgument = (field: string, family: number, path: string): StructArgument =>
  struct(field, path, [
    ['family', nameOf(FAMILIES, family)],
    ['path', path],
  ])

/** Leaves out members that are 0 or empty, as protojson does. */
function struct(field: string, text: string, members: Members): StructArgument {
  return {
    kind: 'struct',
    field,
    text,
    members: members.filter(([, value]) => value !== 0 && value !== '' && value !== 0n),
  }
}

/** `tcp 10.0.0.1:40000 -> 10.0.0.2:443` */
export function flowText(protocol: string, saddr: string, sport: number, daddr: string, dport: number): string {
  const name = protocol.replace('IPPROTO_', '').toLowerCase()
  return saddr === '' && daddr === '' ? name : `${name} ${endText(saddr, sport)} -> ${endText(daddr, dport)}`
}

/** `10.0.0.2:443`, `[fd00::1]:443`; '' without an address. */
export const endText = (address: string, port: number): string =>
  address === '' ? '' : `${address.includes(':') ? `[${address}]` : address}:${port}`

/** '' for other families. */
function addressText(bytes: Buffer, at: number, family: number): string {
  if (family === AF_INET) return bytes.subarray(at, at + 4).join('.')
  return family === AF_INET6 ? ipv6Text(bytes.subarray(at, at + 16)) : ''
}

const hex = (words: readonly number[]): string => words.map((word) => word.toString(16)).join(':')

/** The form of RFC 5952, which Go prints too. */
export function ipv6Text(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join('.')}`
  }
  // The longest run of zeros, the first of equal ones; one alone is not shortened.
  let start = 0
  let length = 1
  for (let from = 0; from < 8; from++) {
    let to = from
    while (to < 8 && words[to] === 0) to++
    if (to - from > length) [start, length] = [from, to - from]
  }
  return length < 2 ? hex(words) : `${hex(words.slice(0, start))}::${hex(words.slice(start + length))}`
}
