/** Credentials, namespaces and user names of processes on a real kernel: records say what the process itself finds in /proc. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { promisify } from 'node:util'
import test, { after, before, describe } from 'node:test'
import { CAPABILITY_NAMES } from '../../config/policy/types/names.ts'
import { TestAgent, cannotRun } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { processOf } from './support/record.ts'
import type { Line, MembersRecord, ProcessRecord } from './support/record.ts'

const run = promisify(execFile)

/** Commands in front of the program, each of which changes what the program has. */
const ROWS: ReadonlyArray<readonly [name: string, ...words: string[]]> = [
  ['as root'],
  ['as another user', 'setpriv', '--reuid', '33', '--regid', '34', '--clear-groups'],
  ['as a user without a name', 'setpriv', '--reuid', '54321', '--regid', '54321', '--clear-groups'],
  ['with few capabilities', 'setpriv', '--bounding-set', '-all,+chown,+kill,+net_admin'],
  ['with inheritable capabilities', 'setpriv', '--inh-caps', '+dac_override,+sys_admin'],
  ['with secure bits', 'setpriv', '--securebits', '+noroot,+no_setuid_fixup,+keep_caps_locked'],
  ['in a user namespace', 'unshare', '--user', '--map-root-user'],
  ['in a user namespace in another', 'unshare', '--user', '--map-root-user', 'unshare', '--user', '--map-root-user'],
  ['in a mount namespace', 'unshare', '--mount'],
  ['in other namespaces', 'unshare', '--uts', '--ipc', '--net', '--cgroup'],
  ['in a pid namespace', 'unshare', '--pid', '--fork'],
]

const SECURE_BITS = ['SecBitNoRoot', 'SecBitNoSetUidFixup', 'SecBitKeepCapsLocked']
const NAMESPACES = 'uts ipc mnt pid pid_for_children net time time_for_children cgroup user'.split(' ')

/** The program: its files say what it is, and its output is for the test. */
const FILES = ['/proc/self/status', '/proc/self/uid_map']
const SHOW = ['cat', ...FILES]
const SHOW_NAMESPACES = ['stat', '-L', '-c', '%n %i', ...NAMESPACES.map((name) => `/proc/self/ns/${name}`)]

function namesOf(mask: string): readonly string[] | undefined {
  const set = BigInt(`0x${mask}`)
  const names = CAPABILITY_NAMES.filter((_, bit) => ((set >> BigInt(bit)) & 1n) === 1n)
  return names.length === 0 ? undefined : names
}

function valuesOf(status: string, key: string): string[] {
  return new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? assert.fail(`${key} in ${status}`)
}

function capsOf(status: string): object {
  const sets = { permitted: 'CapPrm', effective: 'CapEff', inheritable: 'CapInh' }
  return Object.fromEntries(
    Object.entries(sets).flatMap(([key, name]) => {
      const names = namesOf(valuesOf(status, name)[0] ?? '')
      return names === undefined ? [] : [[key, names]]
    }),
  )
}

/** Ids as the host sees them: in the namespaces of the rows only root is mapped, to root. */
function idsOf(status: string): object {
  const [uid, euid, suid, fsuid] = valuesOf(status, 'Uid').map(Number)
  const [gid, egid, sgid, fsgid] = valuesOf(status, 'Gid').map(Number)
  return { uid, gid, euid, egid, suid, sgid, fsuid, fsgid }
}

const inumsAt = (pid: number | 'self'): Map<string, number> =>
  new Map(NAMESPACES.map((name) => [name, statSync(`/proc/${pid}/ns/${name}`).ino]))

function namespacesOf(inums: ReadonlyMap<string, number>): object {
  const host = inumsAt(1)
  return Object.fromEntries(
    [...inums].map(([name, inum]) => [name, { inum, ...(inum === host.get(name) ? { is_host: true } : {}) }]),
  )
}

const execOf = (lines: readonly Line[], binary: string): ProcessRecord =>
  lines
    .filter((line) => line.process_exec !== undefined)
    .map(processOf)
    .find((process) => process.binary?.endsWith(`/${binary}`) === true) ?? assert.fail(`no exec of ${binary}`)

describe('details of processes', { skip: cannotRun() }, () => {
  let agent: TestAgent
  before(async () => {
    agent = await TestAgent.start({
      policies: { 'watch.yaml': policy('watch', [fileHook([path('Equal', '/etc/hostname')])]) },
      config: {
        enable_process_cred: true,
        enable_process_ns: true,
        username_metadata: 'unix',
        enable_ancestors: ['base', 'kprobe'],
      },
    })
  })
  after(() => agent[Symbol.asyncDispose]())

  for (const [name, ...words] of ROWS) {
    test(`details: a program ${name}`, async () => {
      const [shows, places] = [
        [...words, ...SHOW],
        [...words, ...SHOW_NAMESPACES],
      ]
      let status = ''
      let stat = ''
      const lines = await agent.during(async () => {
        status = (await run(shows[0] ?? '', shows.slice(1))).stdout
        stat = (await run(places[0] ?? '', places.slice(1))).stdout
      })
      const { cap, process_credentials: credentials, user } = execOf(lines, 'cat')
      assert.deepEqual(cap, capsOf(status))
      const { user_ns: userNs, ...rest } = credentials ?? {}
      const secure = name === 'with secure bits' ? { securebits: SECURE_BITS } : {}
      assert.deepEqual(rest, { ...idsOf(status), ...secure, caps: cap })

      const inums = new Map(
        stat
          .trim()
          .split('\n')
          .map((line): [string, number] => [
            line.slice('/proc/self/ns/'.length, line.indexOf(' ')),
            Number(line.split(' ')[1]),
          ]),
      )
      const { ns } = execOf(lines, 'stat')
      assert.deepEqual(ns, namespacesOf(inums))
      const level = words.filter((word) => word === '--user').length
      const { ns: userPlace, ...owner } = userNs as MembersRecord
      assert.deepEqual(owner, { level, uid: 0, gid: 0 })
      assert.equal((userPlace as MembersRecord)['is_host'], level === 0 ? true : undefined)

      const names = new Map(
        readFileSync('/etc/passwd', 'utf8')
          .split('\n')
          .map((line): [number, string] => [Number(line.split(':')[2]), line.split(':')[0] ?? '']),
      )
      const isHosts = level === 0 && !words.includes('--mount') && !words.includes('--user')
      const uid = Number(valuesOf(status, 'Uid')[1])
      const expected = isHosts ? names.get(uid) : undefined
      assert.deepEqual(user, expected === undefined ? undefined : { name: expected })
    })
  }

  test('details: a fork has those of its parent', async () => {
    const lines = await agent.during(() =>
      assert.rejects(run('setpriv', ['--reuid', '33', '--clear-groups', 'sh', '-c', '(exit 3); exit 4']), { code: 4 }),
    )
    const ends = lines.filter((line) => line.process_exit?.status === 3).map(processOf)
    assert.equal(ends.length, 1)
    assert.equal(ends[0]?.process_credentials?.['euid'], 33)
    assert.deepEqual(ends[0]?.user, execOf(lines, 'sh').user)
  })

  test('details: the ancestors of an exec, of an access and of an exit, up to pid 1', async () => {
    // Each shell waits for the next; the last accesses a file itself.
    const inner = 'read line < /etc/hostname; exit 7'
    const lines = await agent.during(() =>
      assert.rejects(run('sh', ['-c', `sh -c 'sh -c "${inner}"; exit $?'; exit $?`]), { code: 7 }),
    )
    const shells = lines.filter((line) => line.process_exec !== undefined).map(processOf)
    const [outer, middle, last] = shells
    assert.equal(shells.length, 3)
    const own = agent.lines().find((line) => line.process_exec?.process?.pid === process.pid)?.process_exec
    const above = [own?.process, own?.parent, ...(own?.ancestors ?? [])].map((each) => each?.exec_id)
    const kinds = lines.flatMap((line) => [line.process_exec, line.process_kprobe, line.process_exit]).filter(Boolean)
    const seen = kinds.filter((each) => each?.process?.exec_id === last?.exec_id)
    assert.deepEqual([seen.length >= 3, above.length >= 2], [true, true])
    for (const each of seen) {
      assert.equal(each?.parent?.exec_id, middle?.exec_id)
      assert.deepEqual(
        each?.ancestors?.map(({ exec_id: id }) => id),
        [outer?.exec_id, ...above],
      )
      assert.equal(each?.ancestors?.at(-1)?.pid, 1)
    }
  })

  test('details: a process that ran before the agent has what /proc says', () => {
    const own = agent
      .lines()
      .filter((line) => line.process_exec !== undefined)
      .map(processOf)
      .find(({ pid }) => pid === process.pid)
    const status = readFileSync('/proc/self/status', 'utf8')
    assert.deepEqual(own?.cap, capsOf(status))
    assert.deepEqual(own?.ns, namespacesOf(inumsAt('self')))
    assert.deepEqual(own?.process_credentials, {
      ...idsOf(status),
      caps: capsOf(status),
      user_ns: { level: 0, uid: 0, gid: 0, ns: { inum: inumsAt(1).get('user'), is_host: true } },
    })
  })
})
