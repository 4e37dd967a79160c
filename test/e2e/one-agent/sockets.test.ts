/** Arguments that lead to addresses and ports: their records, and the operators on them, for connections whose ends are known. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test, { before, describe } from 'node:test'
import { actBinary, line, runAct } from '../support/act.ts'
import { cannotRun } from '../support/agent.ts'
import { policy } from '../support/policy.ts'
import type { ArgumentRecord } from '../support/record.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()

/** Actions of the program, by name. It binds the source ports itself. */
const DOES: Readonly<Record<string, string>> = {
  web: line('tcp', '127.0.0.1', 8080, 40001),
  tls: line('tcp', '127.0.0.2', 443, 777),
  web6: line('tcp', '::1', 8080, 40002),
  ssh6: line('tcp', '::1', 22, 778),
  dns: line('udp', '127.0.0.2', 53, 40003),
  mdns6: line('udp', '::1', 5353, 40004),
}
const TCP = ['web', 'tls', 'web6', 'ssh6']
const PORTS: Readonly<Record<number, string>> = {
  40001: 'web',
  777: 'tls',
  40002: 'web6',
  778: 'ssh6',
  40003: 'dns',
  40004: 'mdns6',
}

type Row = readonly [operator: string, values: readonly string[], matches: readonly string[]]

const ADDRESSES: readonly Row[] = [
  ['DAddr', ['127.0.0.1'], ['web']],
  ['DAddr', ['127.0.0.0/8'], ['web', 'tls']],
  ['DAddr', ['127.0.0.3/31'], ['tls']],
  ['DAddr', ['127.0.0.2', '::1'], ['tls', 'web6', 'ssh6']],
  ['DAddr', ['0.0.0.0/0'], ['web', 'tls']],
  ['DAddr', ['::/0'], ['web6', 'ssh6']],
  ['DAddr', ['::/127', '10.0.0.0/8'], ['web6', 'ssh6']],
  ['DAddr', ['::ffff:127.0.0.1', 'fd00::/8'], []],
  ['NotDAddr', ['127.0.0.1'], ['tls', 'web6', 'ssh6']],
  ['NotDAddr', ['127.0.0.0/8', '::1'], []],
  ['NotDAddr', ['::/0'], ['web', 'tls']],
  ['SAddr', ['127.0.0.1/32'], ['web', 'tls']],
  ['SAddr', ['::1'], ['web6', 'ssh6']],
  ['NotSAddr', ['127.0.0.0/8'], ['web6', 'ssh6']],
]
const DESTINATIONS: readonly Row[] = [
  ['DPort', ['8080'], ['web', 'web6']],
  ['DPort', ['22', '443'], ['tls', 'ssh6']],
  ['DPort', ['23:442', '8000:9000'], ['web', 'web6']],
  ['DPort', ['0:65535'], TCP],
  ['NotDPort', ['8080'], ['tls', 'ssh6']],
  ['NotDPort', ['1:8079', '8081:65535'], ['web', 'web6']],
  ['DPortPriv', [], ['tls', 'ssh6']],
  ['NotDPortPriv', [], ['web', 'web6']],
]
const SOURCES: readonly Row[] = [
  ['SPort', ['40001', '778'], ['web', 'ssh6']],
  ['SPort', ['40000:40001'], ['web']],
  ['NotSPort', ['777:778'], ['web', 'web6']],
  ['SPortPriv', [], ['tls', 'ssh6']],
  ['NotSportPriv', [], ['web', 'web6']],
]
const FAMILIES: readonly Row[] = [
  ['Family', ['AF_INET'], ['web', 'tls']],
  ['Family', ['10'], ['web6', 'ssh6']],
  ['Family', ['AF_UNIX', 'af_inet6'], ['web6', 'ssh6']],
  ['Family', ['AF_NETLINK'], []],
]
const PROTOCOLS: readonly Row[] = [
  ['Protocol', ['IPPROTO_TCP'], TCP],
  ['Protocol', ['IPPROTO_UDP', '1'], []],
  ['Protocol', ['5:7'], TCP],
]
const STATES: readonly Row[] = [
  ['State', ['TCP_SYN_SENT'], TCP],
  ['State', ['2', '3'], TCP],
  ['State', ['TCP_LISTEN', 'TCP_CLOSE'], []],
]
/** By the sockets' fourth argument type; the ports of a sockaddr are those of the other end. */
const BY_TYPE: Readonly<Record<string, readonly Row[]>> = {
  sock: [...ADDRESSES, ...DESTINATIONS, ...SOURCES, ...FAMILIES, ...PROTOCOLS, ...STATES],
  skb: [
    ['DAddr', ['127.0.0.2'], ['tls', 'dns']],
    ['NotDAddr', ['127.0.0.2'], ['web']],
    ['SAddr', ['127.0.0.0/8'], ['web', 'tls', 'dns']],
    ['NotSAddr', ['127.0.0.0/8'], []],
    ['DPort', ['53', '443'], ['tls', 'dns']],
    ['NotDPort', ['0:1023'], ['web']],
    ['SPortPriv', [], ['tls']],
    ['NotSPortPriv', [], ['web', 'dns']],
    ['SPort', ['40003'], ['dns']],
    ['DPortPriv', [], ['tls', 'dns']],
    ['NotDPortPriv', [], ['web']],
    ['Protocol', ['IPPROTO_UDP'], ['dns']],
    ['Protocol', ['IPPROTO_TCP'], ['web', 'tls']],
    ['Family', ['AF_INET'], ['web', 'tls', 'dns']],
    ['Family', ['AF_INET6'], []],
  ],
  skb6: [
    ['DAddr', ['::1/128'], ['web6', 'ssh6', 'mdns6']],
    ['NotDAddr', ['::2', '127.0.0.1'], ['web6', 'ssh6', 'mdns6']],
    ['DPort', ['5353'], ['mdns6']],
    ['SPort', ['778:40002'], ['web6', 'ssh6']],
    ['Protocol', ['17'], ['mdns6']],
    ['Family', ['AF_INET6'], ['web6', 'ssh6', 'mdns6']],
  ],
  sockaddr: [
    ['SAddr', ['127.0.0.2'], ['tls', 'dns']],
    ['NotSAddr', ['127.0.0.2'], ['web', 'web6', 'ssh6', 'mdns6']],
    ['SPort', ['8080', '53'], ['web', 'web6', 'dns']],
    ['NotSPort', ['8080', '53', '22'], ['tls', 'mdns6']],
    ['SPortPriv', [], ['tls', 'ssh6', 'dns']],
    ['NotSPortPriv', [], ['web', 'web6', 'mdns6']],
    ['Family', ['AF_INET6'], ['web6', 'ssh6', 'mdns6']],
  ],
  socket: [
    ['Family', ['AF_INET'], ['web', 'tls', 'dns']],
    ['Protocol', ['IPPROTO_UDP'], ['dns', 'mdns6']],
    ['SPort', ['778'], ['ssh6']],
    ['State', ['TCP_CLOSE'], ['web', 'tls', 'web6', 'ssh6', 'dns', 'mdns6']],
  ],
}
/** A function, and the position of its argument. */
const CALLS: Readonly<Record<string, readonly [call: string, type: string, index: number]>> = {
  sock: ['tcp_connect', 'sock', 0],
  skb: ['ip_output', 'skb', 2],
  skb6: ['ip6_output', 'skb', 2],
  sockaddr: ['security_socket_connect', 'sockaddr', 1],
  socket: ['security_socket_connect', 'socket', 0],
}

const title = (key: string, [operator, values]: Row): string => [key, operator, ...values].join(' ')

function hook(key: string, row: Row): object {
  const [call, type, index] = CALLS[key] ?? assert.fail(key)
  const [operator, values] = row
  const filter = { index, operator, ...(values.length === 0 ? {} : { values }) }
  // A sockaddr does not name its owner; the socket argument beside it does.
  const args = key === 'sockaddr' ? [{ index: 0, type: 'socket' }] : []
  return {
    call,
    syscall: false,
    message: title(key, row),
    args: [{ index, type }, ...args],
    selectors: [{ matchArgs: [filter] }],
  }
}

describe('sockets', { skip }, () => {
  const agent = sharedAgent()
  /** Names of the program's actions, each once, by message of the hook. */
  const got = new Map<string, Set<string>>()
  const records = new Map<string, ArgumentRecord>()

  before(async () => {
    execFileSync('ip', ['link', 'set', 'lo', 'up'])
    actBinary()
    const rows = Object.entries(BY_TYPE).flatMap(([key, each]) => each.map((row) => hook(key, row)))
    assert.equal(await agent().apply('sockets', policy('sockets', rows)), 'added', JSON.stringify(agent().log().at(-1)))
    const lines = await agent().during(() => runAct(Object.values(DOES)))
    for (const { process_kprobe: kprobe } of lines) {
      if (kprobe?.process?.binary !== actBinary()) continue
      const [first, second] = kprobe.args ?? []
      const ends = (second ?? first)?.sock_arg ?? first?.skb_arg ?? {}
      // Packets from the other end have swapped ports and are ignored.
      const name = PORTS[Number(ends['sport'])]
      if (name === undefined) continue
      const message = kprobe.message ?? ''
      got.set(message, (got.get(message) ?? new Set()).add(name))
      if (first !== undefined)
        records.set(`${message.split(' ')[0]} ${name}`, records.get(`${message.split(' ')[0]} ${name}`) ?? first)
    }
  })

  for (const [key, rows] of Object.entries(BY_TYPE)) {
    for (const row of rows) {
      test(`sockets: ${title(key, row)}`, () => {
        assert.deepEqual([...(got.get(title(key, row)) ?? [])].toSorted(), [...row[2]].toSorted())
      })
    }
  }

  test('sockets: records of a sock, a socket, a packet and an address', () => {
    const { cookie, ...sock } = records.get('sock web')?.sock_arg ?? {}
    assert.deepEqual(sock, {
      family: 'AF_INET',
      type: 'SOCK_STREAM',
      protocol: 'IPPROTO_TCP',
      saddr: '127.0.0.1',
      daddr: '127.0.0.1',
      sport: 40001,
      dport: 8080,
      state: 'TCP_SYN_SENT',
    })
    assert.match(String(cookie), /^\d{15,20}$/)
    const { cookie: _, ...socket } = records.get('socket mdns6')?.sock_arg ?? {}
    assert.deepEqual(socket, {
      family: 'AF_INET6',
      type: 'SOCK_DGRAM',
      protocol: 'IPPROTO_UDP',
      saddr: '::',
      daddr: '::',
      sport: 40004,
      state: 'TCP_CLOSE',
    })
    assert.deepEqual(records.get('sockaddr web6')?.sockaddr_arg, { family: 'AF_INET6', addr: '::1', port: 8080 })
    const { hash: _hash, ...skb } = records.get('skb dns')?.skb_arg ?? {}
    assert.deepEqual(skb, {
      len: 29,
      saddr: '127.0.0.1',
      daddr: '127.0.0.2',
      sport: 40003,
      dport: 53,
      proto: 17,
      protocol: 'IPPROTO_UDP',
      family: 'AF_INET',
    })
    const { hash: _other, ...six } = records.get('skb6 mdns6')?.skb_arg ?? {}
    assert.deepEqual(six, {
      len: 49,
      saddr: '::1',
      daddr: '::1',
      sport: 40004,
      dport: 5353,
      proto: 17,
      protocol: 'IPPROTO_UDP',
      family: 'AF_INET6',
    })
  })

  test('sockets: a network device is the text of its name', async () => {
    const device = (operator: string, value: string): object => ({
      call: 'dev_hard_start_xmit',
      syscall: false,
      message: `${operator} ${value}`,
      args: [{ index: 1, type: 'net_device' }],
      selectors: [{ matchArgs: [{ index: 1, operator, values: [value] }] }],
    })
    const hooks = [device('Equal', 'lo'), device('Equal', 'l'), device('NotEqual', 'lo'), device('Prefix', 'l')]
    assert.equal(
      await agent().apply('devices', policy('devices', hooks)),
      'added',
      JSON.stringify(agent().log().at(-1)),
    )
    const lines = await agent().during(() => runAct([line('udp', '127.0.0.1', 9, 40009)]))
    await agent().withdraw('devices')
    const own = lines.flatMap(({ process_kprobe: kprobe }) =>
      kprobe?.policy_name === 'devices' && kprobe.process?.binary === actBinary() ? [kprobe] : [],
    )
    assert.deepEqual(new Set(own.map(({ message }) => message)), new Set(['Equal lo', 'Prefix l']))
    assert.deepEqual(own[0]?.args, [{ string_arg: 'lo' }])
  })

  test('sockets: addresses of Unix sockets, of which an abstract name ends where the address does', async () => {
    const unix = (operator: string, ...values: string[]): object => ({
      call: 'security_socket_connect',
      syscall: false,
      message: [operator, ...values].join(' '),
      args: [{ index: 1, type: 'sockaddr_un' }],
      selectors: [{ matchArgs: [{ index: 1, operator, values }] }],
    })
    const longest = `/${'x'.repeat(107)}`
    const UNIX: ReadonlyArray<readonly [hook: readonly [string, ...string[]], matches: readonly string[]]> = [
      [
        ['Family', 'AF_UNIX'],
        [longest, '@short', '/run/a', '@padded', ''],
      ],
      [['Family', '2', 'AF_INET6'], ['inet']],
      [
        ['Equal', '@short', '@padded', '/run/a'],
        ['@short', '/run/a', '@padded'],
      ],
      [['Equal', '@shor', '/run', '@'], []],
      // A call without a path passes no filter on it.
      [
        ['NotEqual', '/run/a'],
        [longest, '@short', '@padded'],
      ],
      [
        ['Prefix', '/run/', '@p'],
        ['/run/a', '@padded'],
      ],
      [
        ['NotPrefix', '@'],
        [longest, '/run/a'],
      ],
      [
        ['Postfix', '/a', longest.slice(-20)],
        [longest, '/run/a'],
      ],
      [
        ['SubString', 'un/', 'short'],
        ['@short', '/run/a'],
      ],
    ]
    const hooks = UNIX.map(([[operator, ...values]]) => unix(operator, ...values))
    const name = 'unix-sockets'
    const caller = { ...unix('Family', 'AF_UNIX'), call: 'sys_connect', syscall: true, message: 'caller' }
    const added = await agent().apply(name, policy(name, [...hooks, caller]))
    assert.equal(added, 'added', JSON.stringify(agent().log().at(-1)))
    // The longest name comes first: its remains on the kernel's stack must not be part of later names.
    const does = [line('unix', longest), line('unix', '@short'), line('unix', '/run/a'), line('unix', '@padded', 110)]
    const lines = await agent().during(() => runAct([...does, line('unix', '', 2), DOES['web'] ?? '']))
    await agent().withdraw(name)
    const seen = new Map<string, Array<Readonly<Record<string, string>>>>()
    for (const { process_kprobe: kprobe } of lines) {
      if (kprobe?.policy_name !== name || kprobe.process?.binary !== actBinary()) continue
      const { message = '', args: [first] = [] } = kprobe
      seen.set(message, [...(seen.get(message) ?? []), first?.sockaddrun_arg ?? assert.fail(JSON.stringify(kprobe))])
    }
    const record = (path: string): object =>
      path === 'inet' ? { family: 'AF_INET' } : { family: 'AF_UNIX', ...(path === '' ? {} : { path }) }
    for (const [[...hooked], matches] of UNIX)
      assert.deepEqual(seen.get(hooked.join(' ')) ?? [], matches.map(record), hooked.join(' '))
    assert.deepEqual(seen.get('caller'), seen.get('Family AF_UNIX'))
  })
})
