/** Sockets in records. */
import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  endText,
  flowText,
  ipv6Text,
  socketArgument,
  unixArgument,
} from '../../../../../collector/ingest/arguments/sockets.ts'
import { SOCKET_INFO } from '../../../../../collector/wire/wire.ts'

interface Info {
  readonly object?: bigint
  readonly saddr?: readonly number[]
  readonly daddr?: readonly number[]
  readonly halves?: Partial<Record<'family' | 'type' | 'protocol' | 'state' | 'sport' | 'dport', number>>
  readonly words?: Partial<Record<'mark' | 'priority' | 'hash' | 'len', number>>
}

/** At offset 8, as behind the header of a value. */
function infoBytes({ object = 0n, saddr = [], daddr = [], halves = {}, words = {} }: Info): Buffer {
  const bytes = Buffer.alloc(8 + SOCKET_INFO.bytes)
  const info = bytes.subarray(8)
  info.writeBigUInt64LE(object, SOCKET_INFO.object)
  info.set(saddr, SOCKET_INFO.saddr)
  info.set(daddr, SOCKET_INFO.daddr)
  for (const [key, value] of Object.entries(halves)) info.writeUInt16LE(value, Reflect.get(SOCKET_INFO, key))
  for (const [key, value] of Object.entries(words)) info.writeUInt32LE(value, Reflect.get(SOCKET_INFO, key))
  return bytes
}

const LOCAL6 = [...Array.from({ length: 15 }, () => 0), 1]

const ROWS: ReadonlyArray<readonly [name: string, field: string, info: Info, record: object, text: string]> = [
  [
    'a connection of IPv4',
    'sock_arg',
    {
      object: 0xffff_8881_0000_0000n,
      saddr: [10, 0, 0, 1],
      daddr: [10, 0, 0, 2],
      halves: { family: 2, type: 1, protocol: 6, state: 1, sport: 40000, dport: 443 },
      words: { mark: 7, priority: 4294967295 },
    },
    {
      family: 'AF_INET',
      type: 'SOCK_STREAM',
      protocol: 'IPPROTO_TCP',
      mark: 7,
      priority: 4294967295,
      saddr: '10.0.0.1',
      daddr: '10.0.0.2',
      sport: 40000,
      dport: 443,
      cookie: 0xffff_8881_0000_0000n,
      state: 'TCP_ESTABLISHED',
    },
    'tcp 10.0.0.1:40000 -> 10.0.0.2:443',
  ],
  [
    'a datagram of IPv6',
    'sock_arg',
    { saddr: LOCAL6, daddr: LOCAL6, halves: { family: 10, type: 2, protocol: 17, state: 7, dport: 53 } },
    {
      family: 'AF_INET6',
      type: 'SOCK_DGRAM',
      protocol: 'IPPROTO_UDP',
      saddr: '::1',
      daddr: '::1',
      dport: 53,
      state: 'TCP_CLOSE',
    },
    'udp [::1]:0 -> [::1]:53',
  ],
  [
    'a Unix socket',
    'sock_arg',
    { saddr: [1, 2, 3, 4], halves: { family: 1, type: 1, state: 1 } },
    { family: 'AF_UNIX', type: 'SOCK_STREAM', protocol: 'IPPROTO_IP', state: 'TCP_ESTABLISHED' },
    'ip',
  ],
  [
    'numbers without a name',
    'sock_arg',
    { halves: { family: 99, type: 9, protocol: 300, state: 77 } },
    { family: '99', type: '9', protocol: '300', state: '77' },
    '300',
  ],
  [
    'a packet',
    'skb_arg',
    {
      saddr: [10, 0, 0, 1],
      daddr: [10, 0, 0, 2],
      halves: { family: 2, protocol: 1 },
      words: { hash: 5, len: 84, priority: 6, mark: 7 },
    },
    {
      hash: 5,
      len: 84,
      priority: 6,
      mark: 7,
      saddr: '10.0.0.1',
      daddr: '10.0.0.2',
      proto: 1,
      protocol: 'IPPROTO_ICMP',
      family: 'AF_INET',
    },
    'icmp 10.0.0.1:0 -> 10.0.0.2:0',
  ],
  ['a packet without an IP header', 'skb_arg', { words: { len: 42 } }, { len: 42 }, ''],
  [
    'an address',
    'sockaddr_arg',
    { saddr: [127, 0, 0, 1], halves: { family: 2, sport: 80 } },
    { family: 'AF_INET', addr: '127.0.0.1', port: 80 },
    '127.0.0.1:80',
  ],
  ['an address of another family', 'sockaddr_arg', { halves: { family: 16 } }, { family: 'AF_NETLINK' }, ''],
  ['no address', 'sockaddr_arg', {}, { family: 'AF_UNSPEC' }, ''],
]

for (const [name, field, info, record, text] of ROWS) {
  test(`sockets: ${name}`, () => {
    const argument = socketArgument(field, infoBytes(info), 8)
    // As entries: their order counts.
    assert.deepEqual(argument.members, Object.entries(record))
    assert.equal(argument.text, text)
    assert.equal(argument.field, field)
  })
}

for (const [words, want] of [
  [[0, 0, 0, 0, 0, 0, 0, 0], '::'],
  [[0, 0, 0, 0, 0, 0, 0, 1], '::1'],
  [[1, 0, 0, 0, 0, 0, 0, 0], '1::'],
  [[1, 2, 3, 4, 5, 6, 7, 8], '1:2:3:4:5:6:7:8'],
  [[1, 0, 3, 4, 5, 6, 7, 8], '1:0:3:4:5:6:7:8'],
  [[1, 0, 0, 4, 0, 0, 7, 8], '1::4:0:0:7:8'],
  [[1, 0, 0, 4, 0, 0, 0, 8], '1:0:0:4::8'],
  [[0xfd00, 0, 0, 0, 0, 0, 0xabcd, 0xf], 'fd00::abcd:f'],
  [[0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304], '::ffff:1.2.3.4'],
] as const) {
  test(`sockets: the shortest text of an address is ${want}`, () => {
    assert.equal(ipv6Text(Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]))), want)
  })
}

test('sockets: every address of IPv6 has a text that is one, and is the same address', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = ipv6Text(bytes)
      assert.ok(isIPv6(text), text)
      if (text.includes('.')) return
      assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`)
    }),
  )
})

test('sockets: ends without an address are left out of the text', () => {
  assert.equal(endText('', 80), '')
  assert.equal(flowText('IPPROTO_TCP', '', 0, '', 0), 'tcp')
})

test('sockets: the address of a Unix socket is its path, and of another family only the family', () => {
  assert.deepEqual(unixArgument('sockaddrun_arg', 1, '@name'), {
    kind: 'struct',
    field: 'sockaddrun_arg',
    text: '@name',
    members: [
      ['family', 'AF_UNIX'],
      ['path', '@name'],
    ],
  })
  assert.deepEqual(unixArgument('sockaddrun_arg', 2, '').members, [['family', 'AF_INET']])
})
