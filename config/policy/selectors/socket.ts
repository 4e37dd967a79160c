/** Filters on sockets: operators, and values as the beginnings of bytes that the kernel side looks up (bpf/match/socket.h). */
import { isIPv4, isIPv6 } from 'node:net'
import { didYouMean } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'
import { asText } from '../fields.ts'
import type { Place } from '../fields.ts'
import type { SocketOperator } from '../operators.ts'
import type { BitPrefix, SocketFilter } from '../policy.ts'
import { FAMILIES, PROTOCOLS, STATES } from './socket-names.ts'

type Meaning = Pick<SocketFilter, 'member' | 'operator'>

const equal = (member: SocketFilter['member']): Meaning => ({ member, operator: 'Equal' })
const not = (member: SocketFilter['member']): Meaning => ({ member, operator: 'NotEqual' })

const MEANINGS: Readonly<Record<SocketOperator, Meaning>> = {
  SAddr: equal('saddr'),
  NotSAddr: not('saddr'),
  DAddr: equal('daddr'),
  NotDAddr: not('daddr'),
  SPort: equal('sport'),
  NotSPort: not('sport'),
  SPortPriv: equal('sport'),
  NotSPortPriv: not('sport'),
  DPort: equal('dport'),
  NotDPort: not('dport'),
  DPortPriv: equal('dport'),
  NotDPortPriv: not('dport'),
  Protocol: equal('protocol'),
  Family: equal('family'),
  State: equal('state'),
}

/** Only root may use them as its own: include/net/sock.h PROT_SOCK. */
const LAST_PRIVILEGED = 1023
const MAX_NUMBER = 0xffff

/** The member that the operator compares, and the values to compare it with. Wrong values are reported and left out. */
export function readSocketValues(
  operator: SocketOperator,
  places: readonly Place[],
): Meaning & Pick<SocketFilter, 'values'> {
  const meaning = MEANINGS[operator]
  if (operator.endsWith('Priv')) {
    places[0]?.refuse(`${operator} takes no values: it means ports up to ${LAST_PRIVILEGED}`)
    return { ...meaning, values: rangePrefixes(0, LAST_PRIVILEGED) }
  }
  const values = places.flatMap((place) => {
    const text = asText(place)
    if (text === undefined) return []
    const read = readValue(meaning.member, text)
    if (!('expected' in read)) return read
    const hint = read.hint ?? (text.includes('${') ? '; replace the variable first, for example with envsubst' : '')
    place.refuse(`expected ${read.expected}, got ${show(text)}${hint}`)
    return []
  })
  return { ...meaning, values }
}

interface Wrong {
  readonly expected: string
  readonly hint?: string
}

/** The prefixes that a value stands for, or what was expected. */
function readValue(member: SocketFilter['member'], text: string): readonly BitPrefix[] | Wrong {
  switch (member) {
    case 'saddr':
    case 'daddr':
      return readNetwork(text) ?? { expected: 'an IP address or a network, such as 10.0.0.0/8 or fd00::/8' }
    case 'sport':
    case 'dport':
      return readRange(text) ?? { expected: `a port from 0 to ${MAX_NUMBER}, or a range of them such as 8000:8999` }
    case 'protocol':
      return readNamed(text, PROTOCOLS, 'IPPROTO_TCP', true)
    case 'family':
      return readNamed(text, FAMILIES, 'AF_INET', false)
    case 'state':
      return readNamed(text, STATES, 'TCP_LISTEN', false)
  }
}

function readNamed(
  text: string,
  names: ReadonlyMap<number, string>,
  example: string,
  ranges: boolean,
): readonly BitPrefix[] | Wrong {
  for (const [number, name] of names)
    if (name.toUpperCase() === text.toUpperCase()) return rangePrefixes(number, number)
  const range = ranges || !text.includes(':') ? readRange(text) : undefined
  if (range !== undefined) return range
  const prefix = example.slice(0, example.indexOf('_') + 1)
  const name = text.toUpperCase().startsWith(prefix) ? text : prefix + text.toUpperCase()
  const expected = `a name such as ${example} or a number${ranges ? ' or a range of them such as 6:17' : ''}`
  return { expected, hint: didYouMean(name, [...names.values()]) }
}

function readRange(text: string): readonly BitPrefix[] | undefined {
  const found = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text)
  if (found === null) return undefined
  const first = Number(found[1])
  const last = Number(found[2] ?? first)
  return first <= last && last <= MAX_NUMBER ? rangePrefixes(first, last) : undefined
}

/** The numbers of 16 bits from `first` to `last` as the fewest prefixes, at most 30. */
export function rangePrefixes(first: number, last: number): readonly BitPrefix[] {
  const prefixes: BitPrefix[] = []
  for (let from = first; from <= last;) {
    let size = 1
    while (from % (2 * size) === 0 && from + 2 * size - 1 <= last) size *= 2
    prefixes.push({ ipv6: false, bits: 16 - Math.log2(size), bytes: [from >> 8, from & 0xff] })
    from += size
  }
  return prefixes
}

/** One prefix, without the bits behind its length. */
function readNetwork(text: string): readonly BitPrefix[] | undefined {
  const [address = '', length, ...more] = text.split('/')
  if (more.length > 0) return undefined
  const ipv6 = isIPv6(address)
  // `%` begins the name of a network interface of this host, which no packet contains.
  if ((!ipv6 && !isIPv4(address)) || address.includes('%')) return undefined
  const bytes = ipv6 ? ipv6Bytes(address) : address.split('.').map(Number)
  const most = 8 * bytes.length
  if (length !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(length)) return undefined
  const bits = Number(length ?? most)
  if (bits > most) return undefined
  const masked = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff)
  return [{ ipv6, bits, bytes: masked }]
}

const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)))

/** The bytes of a valid address. */
function ipv6Bytes(address: string): number[] {
  // The last 32 bits may be written as an address of IPv4.
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    [256 * Number(a) + Number(b), 256 * Number(c) + Number(d)].map((word) => word.toString(16)).join(':'),
  )
  const [head = '', tail] = hex.split('::')
  const first = words(head)
  const last = words(tail ?? '')
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last]
  return all.flatMap((word) => [word >> 8, word & 0xff])
}
