/** Credentials, namespaces and user names of processes on a real kernel: records have the values that the process itself finds in /proc. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { after, before, describe } from 'node:test'
import { CAPABILITY_NAMES } from '../../config/policy/types/names.ts'
import { mountFileSystem } from './files/file-system.ts'
import { line as act, actBinary, runAct } from './support/act.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { processOf } from './support/record.ts'
import type { Line, MembersRecord, ProcessRecord } from './support/record.ts'

const run = promisify(execFile)

/** Commands in front of the program; each changes the credentials or namespaces of the program. */
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

/** The program prints these files, which describe the process itself, for the test. */
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
  let overlay = ''
  before(async () => {
    actBinary()
    overlay = mountFileSystem('overlay')
    writeFileSync(join(overlay, 'file'), 'x')
    const files = path('Equal', '/etc/hostname', join(overlay, 'file'))
    agent = await TestAgent.start({
      policies: { 'watch.yaml': policy('watch', [fileHook([files])]) },
      config: {
        enable_process_cred: true,
        enable_process_ns: true,
        username_metadata: 'unix',
        enable_ancestors: ['base', 'kprobe'],
        enable_process_environment_variables: true,
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

  test('details: a fork has the details of its parent', async () => {
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

  test('details: a call has the user of its thread at that time, its exec that of the exec', async () => {
    const read = act('read', '/etc/hostname')
    const changes = [read, 'euid 33', read, 'euid 0', read]
    // The main thread waits, and is still root after it.
    const thread = ['thread 2', 'euid 33', read, read]
    // An overlay reads the file of its layer as the user that mounted it.
    const layers = ['euid 33', act('read', join(overlay, 'file')), 'euid 0']
    const script = [...changes, ...thread, ...layers, 'user 54321', read, 'fork 1', read]
    const lines = await agent.during(() => runAct(script))
    const usersOf = (those: readonly Line[]): unknown[] =>
      those.map(processOf).map(({ uid, user }) => `${uid} ${user?.['name']}`)
    const calls = (file: string): Line[] =>
      lines.filter(({ process_kprobe: call }) => call?.args?.[0]?.file_arg?.path === file)
    const [root, web, other] = ['0 root', '33 www-data', '54321 undefined']
    assert.deepEqual(usersOf(calls('/etc/hostname')), [root, web, root, web, root, other, other])
    assert.deepEqual(new Set(usersOf(calls(join(overlay, 'file')))), new Set([web]))
    const runs = lines.filter((each) => each.process_kprobe === undefined)
    assert.deepEqual(new Set(usersOf(runs)), new Set([root]))
    const processes = lines.map(processOf)
    const [exec] = processes
    assert.equal(processes.filter((each) => each.exec_id !== exec?.exec_id).length, 2)
    assert.ok(processes.every((each) => each.process_credentials?.['euid'] === 0))
  })

  /** A file that a user runs: its mode, owner and capabilities, and the details in the record of its exec. */
  const FILES_THAT_RAISE: ReadonlyArray<{
    name: string
    mode: number
    owner: number
    caps?: string
    user: number
    want: object | undefined
  }> = [
    { name: 'no marks', mode: 0o755, owner: 0, user: 33, want: undefined },
    {
      name: 'set-user-id, of root',
      mode: 0o4755,
      owner: 0,
      user: 33,
      want: { setuid: 0, privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_SETUID'] },
    },
    { name: 'set-user-id, of another user', mode: 0o4755, owner: 34, user: 33, want: { setuid: 34 } },
    { name: 'set-user-id, of the same user', mode: 0o4755, owner: 33, user: 33, want: undefined },
    {
      name: 'set-group-id, of root',
      mode: 0o2755,
      owner: 0,
      user: 33,
      want: { setgid: 0, privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_SETGID'] },
    },
    {
      name: 'both, of root',
      mode: 0o6755,
      owner: 0,
      user: 33,
      want: {
        setuid: 0,
        setgid: 0,
        privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_SETUID', 'PRIVILEGES_RAISED_EXEC_FILE_SETGID'],
      },
    },
    {
      name: 'capabilities',
      mode: 0o755,
      owner: 0,
      caps: 'cap_net_raw+ep',
      user: 33,
      want: { privileges_changed: ['PRIVILEGES_RAISED_EXEC_FILE_CAP'] },
    },
    { name: 'capabilities that root has', mode: 0o755, owner: 0, caps: 'cap_net_raw+ep', user: 0, want: undefined },
    { name: 'set-user-id, started by root', mode: 0o4755, owner: 0, user: 0, want: undefined },
  ]
  for (const { name, mode, owner, caps, user, want } of FILES_THAT_RAISE) {
    test(`details: a file changes at its exec ${name}`, async () => {
      const folder = freshFolder('raise')
      chmodSync(folder, 0o755)
      const file = join(folder, 'true')
      copyFileSync('/bin/true', file)
      chownSync(file, owner, owner)
      chmodSync(file, mode)
      if (caps !== undefined) await run('setcap', [caps, file])
      const lines = await agent.during(() =>
        // The shell has no capabilities left; setpriv itself keeps them until it is replaced.
        run('setpriv', ['--reuid', `${user}`, '--regid', `${user}`, '--clear-groups', 'sh', '-c', `exec ${file}`]),
      )
      const ran = lines.filter((line) => line.process_exec?.process?.binary === file)
      assert.equal(ran.length, 1)
      assert.deepEqual(processOf(ran[0] ?? {}).binary_properties, want)
      const ended = lines.find((line) => line.process_exit?.process?.binary === file)
      assert.equal(processOf(ended ?? {}).binary_properties, undefined)
    })
  }

  test('details: the environment of an exec, in its own record only', async () => {
    const env = { PATH: '/usr/bin:/bin', EMPTY: '', ODD: 'a=b "c"\n', LONG: 'x'.repeat(20_000) }
    const lines = await agent.during(() => run('/bin/true', [], { env }))
    const ran = execOf(lines, 'true')
    assert.deepEqual(
      ran.environment_variables?.map(({ Key = '', Value = '' }) => [Key, Value]),
      Object.entries(env),
    )
    assert.equal(ran.flags, 'execve clone')
    const ended = lines.filter((line) => line.process_exit !== undefined).map(processOf)
    assert.deepEqual(
      ended.map((each) => [each.exec_id === ran.exec_id, each.environment_variables]),
      [[true, undefined]],
    )
  })

  test('details: an environment of more than 32 KiB has its first whole variables and is marked', async () => {
    const env = { PATH: '/usr/bin:/bin', A: 'a'.repeat(20_000), B: 'b'.repeat(20_000) }
    const ran = execOf(await agent.during(() => run('/bin/true', [], { env })), 'true')
    assert.deepEqual(
      ran.environment_variables?.map(({ Key }) => Key),
      ['PATH', 'A'],
    )
    assert.equal(ran.flags, 'execve errorEnvs clone')
  })

  test('details: a process that ran before the agent has what /proc says', () => {
    const own = agent
      .lines()
      .filter((line) => line.process_exec !== undefined)
      .map(processOf)
      .find(({ pid }) => pid === process.pid)
    const environ = readFileSync('/proc/self/environ', 'utf8').split('\0').filter(Boolean)
    assert.deepEqual(
      own?.environment_variables?.map(({ Key = '', Value = '' }) => `${Key}=${Value}`),
      environ,
    )
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
