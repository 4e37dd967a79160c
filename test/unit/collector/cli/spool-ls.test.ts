import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { encodeHeader, segmentName } from '../../../../exporters/buffer/disk/format/format.ts'
import { asNobody } from '../../../support/other-user.ts'
import { Host } from './support/spools.ts'

const TWO = '  bus: { type: stdout, spool: { dir: F/spool } }\n  loki: { type: stdout, spool: { dir: F/spool } }'

test('spool ls: shows each spool of the config: its waiting events, size, age, folder and position', async () => {
  using host = new Host(TWO)
  await host.fill('bus', 10, 2)
  assert.deepEqual(await host.run('ls'), {
    code: 0,
    stderr: '',
    stdout: `\
SPOOL  EVENTS      SIZE  FILES  OLDEST FILE           USED BY
bus        80  10.9 KiB      4  2026-11-24T14:03:09Z  -
  F/spool/bus
  accepted up to 20 of 100, synced to disk up to 100
loki        0       0 B      0  -                     -
  F/spool/loki
`,
  })
})

test('spool ls: -o json prints the same for programs', async () => {
  using host = new Host()
  await host.fill('bus', 10, 2)
  const { code, stdout } = await host.run('ls -o json')
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), [
    {
      name: 'bus',
      dir: 'F/spool/bus',
      kind: 'exporter',
      events: 80,
      bytes: 11_128,
      segments: 4,
      oldest: '2026-11-24T14:03:09Z',
      settled: 20,
      durable: 100,
      end: 100,
      used_by: null,
      quarantined: 0,
      damage: [],
    },
  ])
  assert.deepEqual(parse((await host.run('ls -o yaml')).stdout), JSON.parse(stdout))
})

test('spool ls: -o wide cuts no name', async () => {
  const name = 'a-spool-with-a-long-name'
  using host = new Host(`  ${name}: { type: stdout, spool: { dir: F/spool } }`)
  assert.match((await host.run('ls')).stdout, /^a-spool-with-a-lo… /m)
  assert.match((await host.run('ls -o wide')).stdout, new RegExp(`^${name} `, 'm'))
})

test('spool ls: works while another process uses the spool, and names that process', async () => {
  using host = new Host()
  await host.fill('bus', 3)
  const holder = spawn(process.execPath, [join(import.meta.dirname, 'support/hold-spool.ts'), host.dir('bus')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  try {
    const { code, stdout } = await host.run('ls bus')
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^bus {8}30 .* ${holder.pid}$`, 'm'))
    assert.doesNotMatch(stdout, /damage|synced to disk/)
    for (const [line, want] of [
      ['repair bus', `cannot repair the spool "F/spool/bus": process ${holder.pid} is using it; stop that one first`],
      [
        'replay F/spool/bus --to bus --remove',
        `cannot remove events from "F/spool/bus": process ${holder.pid} is using it; stop that one first`,
      ],
    ] as const) {
      assert.deepEqual(await host.run(line), { code: 1, stdout: '', stderr: `ktrail: ${want}\n` })
    }
    const replayed = await host.run('replay bus')
    assert.deepEqual([replayed.code, replayed.stdout.split('\n').length], [0, 31])
  } finally {
    const ended = once(holder, 'exit')
    holder.stdin.end()
    await ended
  }
  assert.match((await host.run('ls bus')).stdout, /^bus .* -$/m)
})

test('spool ls: the spool of an exporter that is no longer configured is shown until it is empty', async () => {
  using host = new Host()
  await host.fill('old', 2)
  await host.fill('older', 2, 2)
  mkdirSync(host.folder.at('spool/other'))
  const { stdout } = await host.run('ls')
  assert.match(
    stdout,
    /^old {8}20 .*\n {2}F\/spool\/old\n.*\n {2}no exporter of the config has this name, so these events are not sent/m,
  )
  assert.doesNotMatch(stdout, /older|other/)
})

interface Damage {
  readonly name: string
  readonly spoil: (dir: string, host: Host) => void
  readonly want: RegExp
}

const damages: readonly Damage[] = [
  {
    name: 'a torn end',
    spoil: (dir, host) => host.edit(`${dir}/00000005.seg`, (bytes) => Buffer.concat([bytes, Buffer.alloc(7)])),
    want: /^ {2}damage: 00000005\.seg: torn end of 7 B; the next start cuts it off$/m,
  },
  {
    name: 'both copies of a header',
    spoil: (dir, host) => host.edit(`${dir}/00000002.seg`, (bytes) => bytes.fill(1, 0, 176)),
    want: /^ {2}damage: 00000002\.seg: both copies of the header are damaged$/m,
  },
  {
    name: 'the first file missing',
    spoil: (dir) => unlinkSync(`${dir}/00000001.seg`),
    want: /^ {2}damage: events 0 to 19: missing in all segments$/m,
  },
  {
    name: 'the last file missing',
    spoil: (dir) => unlinkSync(`${dir}/00000005.seg`),
    want: /^ {2}damage: events 80 to 99: missing at the end, although they were on disk$/m,
  },
  {
    name: 'a cursor of zeros',
    spoil: (dir) => writeFileSync(`${dir}/cursor`, Buffer.alloc(36)),
    want: /^ {2}damage: cursor: unreadable; sending will start at the oldest event$/m,
  },
  {
    name: 'no cursor',
    spoil: (dir) => unlinkSync(`${dir}/cursor`),
    want: /^ {2}damage: cursor: missing; absent events will be counted as corrupt$/m,
  },
  {
    name: 'garbage for all files',
    spoil: (dir) => {
      for (const name of ['00000001.seg', '00000002.seg', '00000003.seg', '00000004.seg', '00000005.seg', 'cursor'])
        writeFileSync(`${dir}/${name}`, Buffer.alloc(5000, 'garbage'))
      mkdirSync(`${dir}/00000009.seg`)
      writeFileSync(`${dir}/x`, 'x')
    },
    want: /^bus {9}0 .*\n(?:.*\n)+ {2}damage: 00000009\.seg: EISDIR/m,
  },
]

for (const { name, spoil, want } of damages) {
  test(`spool ls: shows damage and continues: ${name}`, async () => {
    using host = new Host()
    await host.fill('bus', 10)
    spoil(host.dir('bus'), host)
    const { code, stdout, stderr } = await host.run('ls')
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, want)
    for (const line of stdout.replaceAll(host.folder.path, 'F').split('\n')) assert.ok(line.length <= 80, line)
  })
}

test('spool ls: a spool that cannot be read is reported, the others are shown', async () => {
  using host = new Host()
  await host.fill('bus', 1)
  mkdirSync(host.folder.at('empty'))
  const { code, stdout, stderr } = await host.run('ls bus F/empty F/none F/c.yaml')
  assert.equal(code, 1)
  assert.match(stdout, /^bus /m)
  assert.equal(
    stderr,
    `ktrail: "F/empty" is not a spool: expected files such as cursor and 00000001.seg
ktrail: cannot read the spool "F/none": no such folder
ktrail: cannot read the spool "F/c.yaml": it is not a folder
`,
  )
})

test('spool ls: a folder that may not be read is reported with the next step', async () => {
  using host = new Host()
  await host.fill('bus', 1)
  const lines = ['ls bus', 'verify bus', 'repair bus', 'replay bus']
  // Loads the modules that each command imports on demand.
  for (const line of lines) await host.run(line)
  chmodSync(host.folder.path, 0o755)
  chmodSync(host.dir('bus'), 0)
  try {
    await asNobody(async () => {
      for (const line of lines) {
        const { code, stderr } = await host.run(line)
        const want =
          'ktrail: cannot read the spool "F/spool/bus": permission denied; run this as root or as the user of the agent\n'
        assert.deepEqual([code, stderr], [1, want], line)
      }
    })
  } finally {
    chmodSync(host.dir('bus'), 0o700)
  }
})

test('spool ls: a config without a spool is reported as such', async () => {
  using host = new Host('  s: { type: stdout }')
  assert.deepEqual(await host.run('ls'), { code: 0, stdout: '', stderr: 'no exporter of F/c.yaml has a spool\n' })
})

test('spool ls: takes less than a second of a processor for 10 GiB', async () => {
  using host = new Host()
  await host.fill('bus', 3)
  const dir = host.dir('bus')
  unlinkSync(`${dir}/00000001.seg`)
  const [files, bytes, events] = [640, 16 << 20, 10_000]
  for (let number = 1; number <= files; number++) {
    const header = {
      number,
      createdMs: 0,
      base: (number - 1) * events,
      salt: number,
      firstMark: 0,
      previousMark: 0,
      epoch: 'e',
    }
    writeFileSync(`${dir}/${segmentName(number)}`, encodeHeader(header))
    // Sparse: only headers are read. A last file of zeros is the slowest case, because it is searched whole.
    truncateSync(`${dir}/${segmentName(number)}`, bytes)
  }
  let least = Infinity
  // Processor time, and the least of three: other work on the machine makes it longer, never shorter.
  for (let i = 0; i < 3; i++) {
    const before = process.cpuUsage()
    const { code, stdout } = await host.run('ls')
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
    assert.equal(code, 0)
    assert.match(stdout, /^bus {4}6,390,000 {2}10\.0 GiB {4}640 /m)
  }
  assert.ok(least < 1000, `${Math.round(least)} ms`)
})
