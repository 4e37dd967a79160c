/** Filters on sockets: values as the beginnings of bytes, and refused values. */
import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { SocketFilter } from '../../../../config/policy/policy.ts'
import { rangePrefixes } from '../../../../config/policy/selectors/socket.ts'

function parse(type: string, operator: string, values: string): ReturnType<typeof parsePolicy> {
  const filter = `{index: 0, operator: ${operator}${values === '' ? '' : `, values: [${values}]`}}`
  const hook = `{call: f, syscall: false, args: [{index: 0, type: ${type}}], selectors: [{matchArgs: [${filter}]}]}`
  const head = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\n'
  return parsePolicy(`${head}spec: {kprobes: [${hook}]}`, 'p.yaml')
}

function filterOf(type: string, operator: string, values: string): SocketFilter {
  const result = parse(type, operator, values)
  assert.ok('policy' in result, 'problems' in result ? result.problems[0]?.message : '')
  const filter = result.policy.hooks[0]?.selectors[0]?.matchArgs[0]
  assert.ok(filter?.class === 'socket')
  return filter
}

/** `member operator, prefix bytes/bits …` */
const shown = ({ member, operator, values }: SocketFilter): string =>
  `${member} ${operator} ${values.map(({ ipv6, bits, bytes }) => `${ipv6 ? 6 : 4}:${bytes.join('.')}/${bits}`).join(' ')}`

const ZEROS = Array.from({ length: 15 }, () => '0').join('.')

for (const [operator, values, want] of [
  ['SAddr', '10.0.0.1', 'saddr Equal 4:10.0.0.1/32'],
  ['DAddr', '10.1.2.3/8', 'daddr Equal 4:10.0.0.0/8'],
  ['DAddr', '255.255.255.255/31', 'daddr Equal 4:255.255.255.254/31'],
  ['NotSAddr', '0.0.0.0/0', 'saddr NotEqual 4:0.0.0.0/0'],
  ['NotDAddr', '10.1.2.3/12, "::1"', `daddr NotEqual 4:10.0.0.0/12 6:${ZEROS}.1/128`],
  ['DAddr', '"fd00:1:2::/17"', 'daddr Equal 6:253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0/17'],
  ['DAddr', '"fd00:ffff::/17"', 'daddr Equal 6:253.0.128.0.0.0.0.0.0.0.0.0.0.0.0.0/17'],
  ['DAddr', '"::ffff:1.2.3.4"', 'daddr Equal 6:0.0.0.0.0.0.0.0.0.0.255.255.1.2.3.4/128'],
  ['DAddr', '"1:2:3:4:5:6:7:8"', 'daddr Equal 6:0.1.0.2.0.3.0.4.0.5.0.6.0.7.0.8/128'],
  ['SPort', '"80"', 'sport Equal 4:0.80/16'],
  ['NotSPort', '"256:511"', 'sport NotEqual 4:1.0/8'],
  ['DPort', '"0:65535"', 'dport Equal 4:0.0/0'],
  ['NotDPort', '"1:4"', 'dport NotEqual 4:0.1/16 4:0.2/15 4:0.4/16'],
  ['SPortPriv', '', 'sport Equal 4:0.0/6'],
  ['NotSportPriv', '', 'sport NotEqual 4:0.0/6'],
  ['NotSPortPriv', '', 'sport NotEqual 4:0.0/6'],
  ['DPortPriv', '', 'dport Equal 4:0.0/6'],
  ['NotDPortPriv', '', 'dport NotEqual 4:0.0/6'],
  ['Protocol', 'IPPROTO_TCP, "17", "6:7", ipproto_mptcp', 'protocol Equal 4:0.6/16 4:0.17/16 4:0.6/15 4:1.6/16'],
  ['Family', 'AF_INET6, "2", af_decnet', 'family Equal 4:0.10/16 4:0.2/16 4:0.12/16'],
  ['State', 'TCP_LISTEN, "1"', 'state Equal 4:0.10/16 4:0.1/16'],
] as const) {
  test(`sockets: ${operator} ${values} is ${want}`, () => {
    assert.equal(shown(filterOf('sock', operator, values)), want)
  })
}

const ADDRESS = 'expected an IP address or a network, such as 10.0.0.0/8 or fd00::/8'
const PORT = 'expected a port from 0 to 65535, or a range of them such as 8000:8999'
const [AT, OPERATOR] = ['values[0]', 'operator']

for (const [type, operator, values, where, message] of [
  ['sock', 'SAddr', '10.0.0', AT, `${ADDRESS}, got "10.0.0"`],
  ['sock', 'SAddr', '10.0.0.256', AT, `${ADDRESS}, got "10.0.0.256"`],
  ['sock', 'SAddr', '10.0.0.1/33', AT, `${ADDRESS}, got "10.0.0.1/33"`],
  ['sock', 'SAddr', '10.0.0.1/08', AT, `${ADDRESS}, got "10.0.0.1/08"`],
  ['sock', 'SAddr', '10.0.0.1/', AT, `${ADDRESS}, got "10.0.0.1/"`],
  ['sock', 'SAddr', '10.0.0.1/8/8', AT, `${ADDRESS}, got "10.0.0.1/8/8"`],
  ['sock', 'DAddr', '"fd00::/129"', AT, `${ADDRESS}, got "fd00::/129"`],
  ['sock', 'DAddr', '"fe80::1%eth0"', AT, `${ADDRESS}, got "fe80::1%eth0"`],
  ['sock', 'DAddr', '"fd00"', AT, `${ADDRESS}, got "fd00"`],
  ['sock', 'DAddr', 'example.com', AT, `${ADDRESS}, got "example.com"`],
  ['sock', 'SPort', '"65536"', AT, `${PORT}, got "65536"`],
  ['sock', 'SPort', '"80:79"', AT, `${PORT}, got "80:79"`],
  ['sock', 'DPort', '"80-90"', AT, `${PORT}, got "80-90"`],
  ['sock', 'DPort', '"-1"', AT, `${PORT}, got "-1"`],
  ['sock', 'DPort', 'http', AT, `${PORT}, got "http"`],
  ['sock', 'DPort', '80', AT, 'expected a text, got the number 80; put it in quotes: "80"'],
  ['sock', 'SPortPriv', '"80"', AT, 'SPortPriv takes no values: it means ports up to 1023'],
  ['sock', 'NotDPortPriv', '"80"', AT, 'NotDPortPriv takes no values: it means ports up to 1023'],
  [
    'sock',
    'Protocol',
    'IPPROTO_TPC',
    AT,
    'expected a name such as IPPROTO_TCP or a number or a range of them such as 6:17, got "IPPROTO_TPC" (did you mean "IPPROTO_TCP"?)',
  ],
  ['sock', 'Family', '"2:10"', AT, 'expected a name such as AF_INET or a number, got "2:10"'],
  [
    'sock',
    'State',
    'LISTEN',
    AT,
    'expected a name such as TCP_LISTEN or a number, got "LISTEN" (did you mean "TCP_LISTEN"?)',
  ],
  ['sock', 'State', '', 'values', 'missing; expected a list of texts, such as ["/etc/passwd"]'],
] as const) {
  test(`sockets: ${operator} ${values} of a ${type} is refused`, () => {
    const result = parse(type, operator, values)
    assert.ok('problems' in result)
    assert.deepEqual(
      result.problems.map((problem) => problem.message),
      [`spec.kprobes[0].selectors[0].matchArgs[0].${where}: ${message}`],
    )
  })
}

for (const [type, operator] of [
  ['skb', 'State'],
  ['sockaddr', 'State'],
  ['sockaddr', 'DAddr'],
  ['sockaddr', 'DPort'],
  ['sockaddr', 'Protocol'],
  ['sock', 'Equal'],
  ['skb', 'Mask'],
  ['sockaddr', 'Prefix'],
  ['net_device', 'SAddr'],
  ['int', 'SPort'],
  ['file', 'Family'],
] as const) {
  test(`sockets: ${operator} does not apply to a ${type}`, () => {
    const result = parse(type, operator, '"1"')
    assert.ok('problems' in result)
    const prefix = `spec.kprobes[0].selectors[0].matchArgs[0].${OPERATOR}: ${operator} does not apply to an argument of type ${type}; expected one of `
    assert.ok(result.problems[0]?.message.startsWith(prefix), result.problems[0]?.message)
  })
}

test('sockets: a range is covered by its prefixes, and nothing else is', () => {
  const port = fc.integer({ min: 0, max: 65535 })
  fc.assert(
    fc.property(port, port, port, (a, b, probed) => {
      const [first, last] = [Math.min(a, b), Math.max(a, b)]
      const prefixes = rangePrefixes(first, last)
      const covers = prefixes.filter(
        ({ bits, bytes: [high = 0, low = 0] }) => (probed ^ ((high << 8) | low)) >> (16 - bits) === 0,
      )
      assert.equal(covers.length, probed >= first && probed <= last ? 1 : 0)
      assert.ok(prefixes.length <= 30)
    }),
  )
})

test('sockets: an address of IPv6 is the bytes that Node reads', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      fc.pre(isIPv6(address))
      const [prefix] = filterOf('sock', 'DAddr', JSON.stringify(address)).values
      // The URL parser is another reader of the same syntax.
      const { hostname } = new URL(`http://[${address}]/`)
      const again = filterOf('sock', 'DAddr', JSON.stringify(hostname.slice(1, -1))).values[0]
      assert.deepEqual(prefix?.bytes, again?.bytes)
      assert.equal(prefix?.bytes.length, 16)
    }),
  )
})
