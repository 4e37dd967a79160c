/**
 * The first policy of the project, config/policies/optional/file-monitoring.yaml, on a real kernel: a scenario, and the expected events.
 * Its /etc is a tmpfs folder, bound over /etc in a private mount namespace.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { kernelBytes, perCpuBytes } from '../support/measure/bpf-memory.ts'
import { actBinary, line, pinnedDenial, runAct, startAct } from './support/act.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { kernelAtLeast } from './support/kernel.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { execIdText } from './support/record.ts'
import type { Line } from './support/record.ts'
import { summary } from './support/summary.ts'

const SEED = readFileSync(new URL('../../config/policies/optional/file-monitoring.yaml', import.meta.url), 'utf8')
const skip = cannotRun()
const folder = skip === false ? freshFolder('seed') : ''
const etc = join(folder, 'root', 'etc')
// The security module of one step matches this name.
const ACT = skip === false ? actBinary(join(folder, 'denied')) : ''
/** Maximum of maps and programs: the ring has 16 MiB, and a table of processes 16 bytes for each that the host can have. */
const KERNEL_BYTES = 24 << 20
/** Maximum of it on each CPU: processes have 35 KiB, a function has 6 to 32 KiB. */
const CPU_BYTES = 64 << 10
const PASSWD = 'root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice:/home/alice:/bin/bash\n'

/** Before 6.2 every change of size passed security_path_truncate; since then only truncate(2) does. */
const sizeByFile = kernelAtLeast(6, 2)

const READ = 'security_file_permission(/etc/passwd -rw-r--r--, 4) = 0'
const WRITE = 'security_file_permission(/etc/passwd -rw-r--r--, 2) = 0'
const TRUNCATE = 'security_path_truncate(/etc/passwd -rw-r--r--) = 0'
/** A new size through an open file: ftruncate(2), and an open with O_TRUNC. */
const RESIZE = sizeByFile ? 'security_file_truncate(/etc/passwd -rw-r--r--) = 0' : TRUNCATE
const mapped = (prot: number): string => `security_mmap_file(/etc/passwd -rw-r--r--, ${prot}) = 0`

const EDITOR = `open my $f, "+<", "/etc/passwd" or die; my @l = <$f>; s/Alice/Bob/ for @l; seek $f, 0, 0; print $f @l; close $f`

interface Step {
  readonly name: string
  /** Actions of the program inside its own /etc. */
  readonly does: readonly string[]
  /** The events expected between the exec of act and its exit, without the binary if it is act. */
  readonly want: readonly string[]
  /** The end of the exit line; `act 0` if absent. */
  readonly end?: string
  readonly fails?: true
  readonly skip?: string | false
}

const STEPS: readonly Step[] = [
  {
    name: 'cat reads twice: the text and its end',
    does: [line('exec', '/bin/cat', 'cat', '/etc/passwd')],
    want: ['exec /bin/cat /etc/passwd', `/bin/cat ${READ}`, `/bin/cat ${READ}`],
    end: '/bin/cat 0',
  },
  {
    name: 'an editor reads to the end and writes once',
    does: [line('exec', '/usr/bin/perl', 'perl', '-e', EDITOR)],
    want: [
      `exec /usr/bin/perl -e "${EDITOR}"`,
      `/usr/bin/perl ${READ}`,
      `/usr/bin/perl ${READ}`,
      `/usr/bin/perl ${WRITE}`,
    ],
    end: '/usr/bin/perl 0',
  },
  {
    name: 'a shell appends with >>',
    does: [line('exec', '/bin/sh', 'sh', '-c', 'echo bob >>/etc/passwd')],
    want: ['exec /bin/sh -c "echo bob >>/etc/passwd"', `/bin/sh ${WRITE}`],
    end: '/bin/sh 0',
  },
  { name: 'truncate by path', does: [line('truncate', '/etc/passwd', 10)], want: [TRUNCATE] },
  { name: 'ftruncate', does: [line('ftruncate', '/etc/passwd', 10)], want: [RESIZE] },
  {
    name: 'an open that cuts the file to nothing',
    does: [line('overwrite', '/etc/passwd'), line('write', '/etc/passwd')],
    want: [RESIZE, WRITE],
  },
  {
    name: 'a shell empties the file with >',
    does: [line('exec', '/bin/sh', 'sh', '-c', ': >/etc/passwd')],
    want: ['exec /bin/sh -c ": >/etc/passwd"', `/bin/sh ${RESIZE}`],
    end: '/bin/sh 0',
  },
  {
    name: 'every way to change the size is one event',
    does: [
      line('truncate', '/etc/passwd', 9),
      line('ftruncate', '/etc/passwd', 8),
      line('overwrite', '/etc/passwd'),
      line('truncate', '/etc/passwd', 7),
    ],
    want: [TRUNCATE, RESIZE, RESIZE, TRUNCATE],
  },
  {
    name: 'mmap shows its protection bits',
    does: [1, 3, 5].map((prot) => line('map', '/etc/passwd', prot)),
    want: [mapped(1), mapped(3), mapped(5)],
  },
  {
    name: 'every system call that reads or writes is one event',
    does: [
      line('read', '/etc/passwd', 3),
      line('readv', '/etc/passwd'),
      line('write', '/etc/passwd', 2),
      line('fallocate', '/etc/passwd', 64),
    ],
    want: [READ, READ, READ, READ, WRITE, WRITE, WRITE],
  },
  {
    name: 'opening without reading is no event',
    does: [line('open', 0, '/etc/passwd')],
    want: [],
  },
  {
    name: 'listing a folder below the prefix is an event, listing the prefix itself is not',
    does: [line('list', '/etc'), line('list', '/etc/sub')],
    want: ['security_file_permission(/etc/sub drwxr-xr-x, 4) = 0'],
  },
  {
    name: 'set-id and sticky bits show in the permission',
    does: [line('chmod', '/etc/passwd', '07755'), line('read', '/etc/passwd')],
    want: ['security_file_permission(/etc/passwd -rwsr-sr-t, 4) = 0'],
  },
  {
    name: 'a user whom the file mode denies reaches no hook',
    does: [line('user', 65_534), line('denied', 'read', '/etc/shadow'), line('read', '/etc/passwd')],
    want: [READ],
  },
  {
    name: 'a read refused by a security module shows its error',
    does: [line('module', skip === false ? pinnedDenial() : ''), line('denied', 'write', '/etc/passwd')],
    want: ['security_file_permission(/etc/passwd -rw-r--r--, 2) = -13'],
  },
  {
    name: 'a truncate refused by landlock shows its error',
    does: [line('landlock'), line('denied', 'truncate', '/etc/passwd', 1)],
    want: ['security_path_truncate(/etc/passwd -rw-r--r--) = -13'],
    skip: sizeByFile ? false : 'landlock knows truncate since 6.2',
  },
  {
    name: 'an open that would cut the file is refused by landlock',
    does: [line('landlock'), line('denied', 'overwrite', '/etc/passwd')],
    want: ['security_file_truncate(/etc/passwd -rw-r--r--) = -13'],
    skip: sizeByFile ? false : 'landlock knows truncate since 6.2',
  },
  {
    name: 'a program killed by a signal',
    does: [line('read', '/etc/passwd'), line('kill', 9)],
    want: [READ],
    end: `${ACT} SIGKILL`,
    fails: true,
  },
  {
    name: 'files without a path and anonymous memory never match',
    does: ['pipe', 'socket', 'memfd', 'anonymous'].map((kind) => line('pathless', kind)),
    want: [],
  },
  {
    name: 'paths similar to the prefix do not match, also in another root',
    does: [
      line('chroot', join(folder, 'root')),
      line('read', '/etcX/passwd'),
      line('read', '/etcetera'),
      line('read', '/tmp/etc/passwd'),
      line('read', '/e'),
      line('truncate', '/etcX/passwd', 3),
      line('map', '/tmp/etc/passwd', 1),
      line('list', '/'),
      line('read', '/etc/passwd'),
    ],
    want: [READ],
  },
]

/** The folder that becomes /etc, in the state in which each step begins. */
function freshEtc(): void {
  rmSync(join(folder, 'root'), { recursive: true, force: true })
  for (const name of ['etc/sub', 'etcX', 'tmp/etc']) mkdirSync(join(folder, 'root', name), { recursive: true })
  for (const name of ['etc/passwd', 'etc/shadow', 'etcX/passwd', 'tmp/etc/passwd', 'etcetera', 'e']) {
    writeFileSync(join(folder, 'root', name), PASSWD)
    chmodSync(join(folder, 'root', name), name === 'etc/shadow' ? 0o600 : 0o644)
  }
  chmodSync(folder, 0o755)
}

describe('seed: config/policies/optional/file-monitoring.yaml', { skip }, () => {
  let agent: TestAgent
  before(async () => {
    agent = await TestAgent.start({
      policies: { 'file-monitoring.yaml': SEED },
      exporters: { screen: { type: 'stdout', format: 'compact', batch: { max_wait: '20ms' } } },
    })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  const scenario = async (does: readonly string[], fails = false): Promise<{ lines: Line[]; script: string }> => {
    freshEtc()
    const all = [line('private'), line('bind', etc, '/etc'), ...does]
    let script = ''
    const lines = await agent.during(async () => {
      const end = await startAct(all, { binary: ACT }).ended
      if (!fails) assert.equal(end.code, 0, 'act failed, see its message above')
      ;({ script } = end)
    })
    return { lines, script }
  }

  for (const { name, does, want, end = `${ACT} 0`, fails, skip: why = false } of STEPS) {
    test(`seed: ${name}`, { skip: why }, async () => {
      const { lines, script } = await scenario(does, fails)
      const named = want.map((text) => (text.startsWith('security_') ? `${ACT} ${text}` : text))
      assert.deepEqual(lines.map(summary), [`exec ${ACT} ${script}`, ...named, `exit ${end}`])
    })
  }

  test('seed: sendfile and copy_file_range are reported for each file they touch', async () => {
    const { lines } = await scenario([line('sendfile', '/etc/passwd'), line('copy', '/etc/passwd', '/etc/shadow')])
    const seen = new Set(lines.slice(1, -1).map(summary))
    // The number of checks in a call depends on the kernel, so the test compares only files and directions.
    assert.deepEqual(
      seen,
      new Set([`${ACT} ${READ}`, `${ACT} security_file_permission(/etc/shadow -rw-------, 2) = 0`]),
    )
  })

  test('seed: the record names policy, function, action, process and parent', async () => {
    const wallMs = Date.now()
    const { lines, script } = await scenario([line('exec', '/bin/cat', 'cat', '/etc/passwd')])
    const [started, replaced, first, second, ended] = lines
    const act = started?.process_exec?.process
    const cat = replaced?.process_exec?.process
    const kprobe = first?.process_kprobe
    assert.deepEqual(Object.keys(first ?? {}), ['process_kprobe', 'node_name', 'time'])
    assert.deepEqual(
      { ...kprobe, process: undefined, parent: undefined },
      {
        process: undefined,
        parent: undefined,
        function_name: 'security_file_permission',
        args: [{ file_arg: { path: '/etc/passwd', permission: '-rw-r--r--' } }, { int_arg: 4 }],
        return: { int_arg: 0 },
        action: 'KPROBE_ACTION_POST',
        policy_name: 'file-monitoring',
        return_action: 'KPROBE_ACTION_POST',
      },
    )
    assert.deepEqual(Object.keys(kprobe ?? {}), [
      'process',
      'parent',
      'function_name',
      'args',
      'return',
      'action',
      'policy_name',
      'return_action',
    ])
    // The process: the image that exec without fork made, whose parent is the image before.
    assert.deepEqual({ ...kprobe?.process, refcnt: undefined }, { ...cat, refcnt: undefined })
    assert.deepEqual({ ...ended?.process_exit?.process, refcnt: undefined }, { ...cat, refcnt: undefined })
    assert.deepEqual(second?.process_kprobe?.process, kprobe?.process)
    assert.equal(kprobe?.process?.refcnt, 1)
    assert.deepEqual(
      { ...cat, exec_id: '', start_time: '', parent_exec_id: '' },
      {
        exec_id: '',
        pid: act?.pid,
        uid: 0,
        cwd: process.cwd(),
        binary: '/bin/cat',
        arguments: '/etc/passwd',
        flags: 'execve',
        start_time: '',
        auid: 4_294_967_295,
        parent_exec_id: '',
        tid: act?.pid,
        in_init_tree: false,
      },
    )
    assert.match(execIdText(cat?.exec_id), new RegExp(`^${hostname()}:[0-9]+:${act?.pid}$`))
    assert.equal(cat?.start_time, replaced?.time)
    assert.equal(kprobe?.parent?.exec_id, act?.exec_id)
    assert.equal(cat?.parent_exec_id, act?.exec_id)
    assert.notEqual(cat?.exec_id, act?.exec_id)
    // And its parent, up to this program, which ran before the agent.
    assert.equal(act?.flags, 'execve clone')
    assert.equal(act?.binary, ACT)
    assert.equal(act?.arguments, script)
    const parent = started?.process_exec?.parent
    assert.equal(act?.parent_exec_id, parent?.exec_id)
    assert.equal(parent?.pid, process.pid)
    assert.equal(parent?.binary, process.execPath)
    assert.equal(parent?.flags, 'procFS')
    // Times: in order, and of this minute.
    const times = lines.map(({ time }) => String(time))
    assert.deepEqual(times, times.toSorted())
    for (const time of times) assert.ok(Math.abs(Date.parse(time) - wallMs) < 60_000, `${time} is not about now`)
    assert.equal(first?.node_name, hostname())
    assert.equal(ended?.process_exit?.time, ended?.time)
    assert.equal(ended?.process_exit?.status, undefined)
  })

  test('seed: compact lines contain the same events', async () => {
    const from = agent.stdout().length
    const { script } = await scenario([
      line('write', '/etc/passwd'),
      line('map', '/etc/passwd', 3),
      line('truncate', '/etc/passwd', 1),
      line('overwrite', '/etc/passwd'),
      line('write', '/etc/passwd'),
      line('exec', '/bin/cat', 'cat', '/etc/passwd'),
    ])
    const node = hostname()
    const end = `💥 exit    ${node} /bin/cat /etc/passwd 0`
    await agent.until('the compact exit line', () => agent.stdout().slice(from).includes(end))
    assert.deepEqual(
      agent
        .stdout()
        .slice(from)
        // Without the marks of `during`, and threads of the kernel.
        .filter((text) => !text.includes('/bin/true') && !text.includes(` ${node} [`)),
      [
        `🚀 process ${node} ${ACT} ${script}`,
        `📝 write   ${node} ${ACT} /etc/passwd`,
        `📝 mmap-rw ${node} ${ACT} /etc/passwd`,
        `📝 truncate ${node} ${ACT} /etc/passwd`,
        `📝 truncate ${node} ${ACT} /etc/passwd`,
        `📝 write   ${node} ${ACT} /etc/passwd`,
        `🚀 process ${node} /bin/cat /etc/passwd`,
        `📚 read    ${node} /bin/cat /etc/passwd`,
        `📚 read    ${node} /bin/cat /etc/passwd`,
        end,
      ],
    )
  })

  test('seed: the agent has little of the memory of the kernel', (t) => {
    const perCpu = perCpuBytes(agent.pid)
    assert.ok(perCpu <= CPU_BYTES, `${perCpu} bytes on each CPU: expected at most ${CPU_BYTES}`)
    // Before, the kernel reports other figures.
    if (!kernelAtLeast(6, 4)) return t.skip('memlock of a map is the bytes that it has since Linux 6.4')
    const bytes = kernelBytes(agent.pid)
    assert.ok(bytes <= KERNEL_BYTES, `${bytes} bytes: expected at most ${KERNEL_BYTES}`)
  })

  test('seed: accesses by the agent itself are not events', async () => {
    // The agent reads this folder every second and writes its events into it.
    const own = policy('own', [fileHook([path('Prefix', `${agent.folder}/`)])])
    assert.equal(await agent.apply('own', own), 'added')
    const lines = await agent.during(async () => {
      await runAct([line('read', join(agent.policies, 'own.yaml'))], { binary: ACT })
      // Makes the agent read the folder and write events again.
      assert.equal(await agent.apply('other', policy('other', [fileHook([path('Equal', '/none')])])), 'added')
      await agent.withdraw('other')
    })
    const mine = lines.filter((found) => found.process_kprobe?.process?.pid === agent.pid)
    assert.deepEqual(mine.map(summary), [])
    const others = lines.filter((found) => found.process_kprobe?.process?.binary === ACT).map(summary)
    assert.deepEqual(others, [`${ACT} security_file_permission(${agent.policies}/own.yaml -rw-r--r--, 4) = 0`])
    await agent.withdraw('own')
  })

  test('seed: without the policy file there are no events', async () => {
    await agent.withdraw('file-monitoring')
    const { lines, script } = await scenario([
      line('read', '/etc/passwd'),
      line('truncate', '/etc/passwd', 1),
      line('map', '/etc/passwd', 1),
    ])
    assert.deepEqual(lines.map(summary), [`exec ${ACT} ${script}`, `exit ${ACT} 0`])
  })

  test('seed: nothing was lost and the accounting balances', async () => {
    const metrics = await agent.metrics()
    assert.deepEqual(metrics.losses(), [])
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    assert.equal(agent.stdout().length, agent.texts().length)
    assert.equal(agent.torn(), '')
  })
})
