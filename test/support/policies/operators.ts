/** Operators on numbers, texts, sockets and kinds of files, computed plainly from docs/reference/policy/selectors.md. */
import { isIPv4 } from 'node:net'

export const asBytes = (text: string): string => Buffer.from(text).toString('latin1')

export interface NumberType {
  readonly signed: boolean
  readonly bits: number
}

const SPELLINGS: Readonly<Record<string, string>> = {
  int: 'int32',
  long: 'int64',
  ulong: 'uint64',
  size_t: 'uint64',
  // Numbers with names. Sets are 64 bits that the argument points to.
  capability: 'int32',
  bpf_cmd: 'int32',
  kernel_cap_t: 'uint64',
  cap_inheritable: 'uint64',
  cap_permitted: 'uint64',
  cap_effective: 'uint64',
}

/** undefined for types that are no integers. */
export function numberType(name: string): NumberType | undefined {
  const found = /^(u|s?)int(8|16|32|64)$/.exec(SPELLINGS[name] ?? name)
  return found === null ? undefined : { signed: found[1] !== 'u', bits: Number(found[2]) }
}

export const readAs = ({ signed, bits }: NumberType, register: bigint): bigint =>
  signed ? BigInt.asIntN(bits, register) : BigInt.asUintN(bits, register)

/** Decimal, 0x, 0b, 0o, or 0 for octal; with a sign. */
function parsed(text: string): bigint {
  const [, sign = '', digits = ''] = /^([+-]?)(.*)$/.exec(text) ?? []
  const magnitude = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits)
  return sign === '-' ? -magnitude : magnitude
}

/** FROM:TO, both included. */
function inRange(number: bigint, text: string): boolean {
  const [from = 0n, to = from] = text.split(':').map(parsed)
  return number >= from && number <= to
}

export function numberMatches(operator: string, number: bigint, texts: readonly string[]): boolean {
  if (/^(?:InMap|InRange)$/.test(operator)) return texts.some((text) => inRange(number, text))
  if (/^(?:NotInMap|NotInRange)$/.test(operator)) return !texts.some((text) => inRange(number, text))
  const values = texts.map(parsed)
  switch (operator) {
    case 'Equal':
    case 'In':
      return values.some((value) => number === value)
    case 'NotEqual':
    case 'NotIn':
      return values.every((value) => number !== value)
    case 'GreaterThan':
    case 'GT':
      return values.some((value) => number > value)
    case 'LessThan':
    case 'LT':
      return values.some((value) => number < value)
    case 'Mask':
      return values.some((value) => (number & value) !== 0n)
    default:
      throw new Error(`no model of ${operator} on numbers`)
  }
}

const lowerAscii = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())

/** `whole`: the text with its beginning, undefined where nothing is known of that. */
export function textMatches(
  operator: string,
  text: string,
  values: readonly string[],
  whole: string | undefined,
): boolean {
  const cut = whole !== text
  switch (operator) {
    case 'Equal':
    case 'In':
      return !cut && values.includes(text)
    case 'NotEqual':
    case 'NotIn':
      return cut || !values.includes(text)
    case 'Prefix':
      return whole === undefined || values.some((value) => whole.startsWith(value))
    case 'NotPrefix':
      return whole === undefined || values.every((value) => !whole.startsWith(value))
    case 'Postfix':
      return values.some((value) => text.endsWith(value))
    case 'NotPostfix':
      return values.every((value) => !text.endsWith(value))
    case 'SubString':
      // The missing part may contain one.
      return cut || values.some((value) => text.includes(value))
    case 'SubStringIgnCase':
      return cut || values.some((value) => lowerAscii(text).includes(lowerAscii(value)))
    default:
      throw new Error(`no model of ${operator} on texts`)
  }
}

/** Facts about a socket or an address. */
export interface SocketFacts {
  readonly family: string
  /** The number of the family. */
  readonly familyNumber: number
  readonly protocol: number
  readonly state: number
  /** '' for families without addresses. */
  readonly source: string
  readonly destination: string
  readonly sourcePort: number
  readonly destinationPort: number
}

/** 4 or 16 bytes. */
function addressBytes(text: string): readonly number[] {
  if (isIPv4(text)) return text.split('.').map(Number)
  const [before = '', after] = text.split('::')
  const words = (part: string | undefined): number[] =>
    (part ?? '').split(':').flatMap((word) => {
      if (word === '') return []
      if (word.includes('.')) return addressBytes(word)
      const number = Number.parseInt(word, 16)
      return [number >> 8, number & 255]
    })
  const [first, last] = [words(before), words(after)]
  return [...first, ...Array.from({ length: 16 - first.length - last.length }, () => 0), ...last]
}

const bitsOf = (text: string): string =>
  addressBytes(text)
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('')

/** `network`: an address, or one with the number of its bits that count. */
function inNetwork(address: string, network: string): boolean {
  const [base = '', length] = network.split('/')
  const [own, wanted] = [bitsOf(address), bitsOf(base)]
  const count = length === undefined ? wanted.length : Number(length)
  return own.length === wanted.length && own.slice(0, count) === wanted.slice(0, count)
}

const PRIVILEGED_PORTS = 1024

/** Names of numbers that values may have, in any case. */
const NAMED: Readonly<Record<string, bigint>> = {
  AF_UNSPEC: 0n,
  AF_UNIX: 1n,
  AF_INET: 2n,
  AF_INET6: 10n,
  AF_NETLINK: 16n,
  IPPROTO_ICMP: 1n,
  IPPROTO_TCP: 6n,
  IPPROTO_UDP: 17n,
  TCP_ESTABLISHED: 1n,
  TCP_SYN_SENT: 2n,
  TCP_CLOSE: 7n,
  TCP_LISTEN: 10n,
}

export function socketMatches(operator: string, socket: SocketFacts, values: readonly string[]): boolean {
  const [, not = '', part = ''] = /^(Not)?(.*)$/.exec(operator) ?? []
  const isNot = not !== ''
  const end = part.toUpperCase().startsWith('D') ? 'destination' : 'source'
  const port = end === 'source' ? socket.sourcePort : socket.destinationPort
  const among = (number: number): boolean =>
    values.some((value) => {
      const named = NAMED[value.toUpperCase()]
      return named === undefined ? inRange(BigInt(number), value) : named === BigInt(number)
    })
  switch (part.toLowerCase()) {
    case 'saddr':
    case 'daddr':
      // Families without addresses match neither.
      return socket[end] !== '' && values.some((network) => inNetwork(socket[end], network)) !== isNot
    case 'sport':
    case 'dport':
      return among(port) !== isNot
    case 'sportpriv':
    case 'dportpriv':
      return port < PRIVILEGED_PORTS !== isNot
    case 'family':
      return among(socket.familyNumber)
    case 'protocol':
      return among(socket.protocol)
    case 'state':
      return among(socket.state)
    default:
      throw new Error(`no model of ${operator} on sockets`)
  }
}

const FILE_TYPES: Readonly<Record<string, string>> = {
  regular: 'reg',
  link: 'lnk',
  char: 'chr',
  block: 'blk',
  pipe: 'fifo',
  socket: 'sock',
}

/** `type`: undefined where there is no file. */
export function fileTypeMatches(operator: string, type: string | undefined, values: readonly string[]): boolean {
  const found = values.some((value) => (FILE_TYPES[value] ?? value) === type)
  return type !== undefined && found === (operator === 'FileType')
}
