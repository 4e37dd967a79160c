/** Kinds of hooks, and lists that only a kernel can fill: the events of known calls. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import test, { after, before, describe } from 'node:test'
import { actBinary, line, runAct, startAct } from '../support/act.ts'
import { cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import type { Line } from '../support/record.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()

/** Older kernels would run a raw tracepoint's program within itself: it is refused. */
const hasRaw = kernelAtLeast(6, 1)

const document = (name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec })

describe('kinds of hooks', { skip }, () => {
  const agent = sharedAgent()
  let act = ''
  const read = '/tmp/ktrail-kinds-read'

  before(async () => {
    act = actBinary()
    writeFileSync(read, 'x')
    chmodSync(read, 0o644)
  })
  after(() => rmSync(read, { force: true }))

  /** The lines of the program while a policy is loaded. */
  const observed = async (name: string, spec: object, does: readonly string[]): Promise<Line[]> => {
    const own = JSON.stringify(spec).includes('UnderDir')
    const text = document(name, spec).replace('cilium.io', own ? 'ktrail.dev' : 'cilium.io')
    assert.equal(await agent().apply(name, text), 'added', JSON.stringify(agent().log().at(-1)))
    const lines = await agent().during(() => runAct(does))
    await agent().withdraw(name)
    return lines.filter((each) => (each.process_kprobe ?? each.process_lsm)?.process?.binary === act)
  }

  test('lsmhooks: calls of security hooks, with arguments and filters', async () => {
    const spec = {
      lsmhooks: [
        {
          hook: 'file_open',
          message: 'opened',
          tags: ['a.b'],
          args: [{ index: 0, type: 'file', label: 'what' }],
          selectors: [{ matchArgs: [{ index: 0, operator: 'Equal', values: [read, '/etc/hosts'] }] }],
        },
        {
          hook: 'mmap_file',
          args: [
            { index: 0, type: 'file' },
            { index: 1, type: 'uint32' },
          ],
          selectors: [{ matchArgs: [{ index: 0, operator: 'Equal', values: [read] }] }],
        },
        {
          hook: 'inode_rmdir',
          args: [],
          selectors: [
            {
              matchBinaries: [{ operator: 'In', values: [act] }],
              matchActions: [{ action: 'Override', argError: -13 }],
            },
          ],
        },
        { hook: 'inode_mkdir', args: [], selectors: [{ matchBinaries: [{ operator: 'In', values: [act] }] }] },
      ],
    }
    const lines = await observed('lsm', spec, [
      line('read', read),
      line('read', '/etc/passwd'),
      line('mkdir', '/tmp/ktrail-kinds-folder'),
      line('denied', 'rmdir', '/tmp/ktrail-kinds-folder'),
    ])
    rmdirSync('/tmp/ktrail-kinds-folder')
    const hooked = lines.map(({ process_lsm: lsm }) => {
      const { process: _process, parent: _parent, ...rest } = lsm ?? {}
      return rest
    })
    assert.deepEqual(hooked, [
      {
        function_name: 'file_open',
        policy_name: 'lsm',
        message: 'opened',
        args: [{ file_arg: { path: read, permission: '-rw-r--r--' }, label: 'what' }],
        action: 'KPROBE_ACTION_POST',
        tags: ['a.b'],
      },
      { function_name: 'inode_mkdir', policy_name: 'lsm', action: 'KPROBE_ACTION_POST' },
      { function_name: 'inode_rmdir', policy_name: 'lsm', action: 'KPROBE_ACTION_OVERRIDE' },
    ])
  })

  test('matchReturnArgs: only calls with a listed return value', async () => {
    const opens = (operator: string): object => ({
      call: 'sys_openat',
      return: true,
      args: [{ index: 1, type: 'string' }],
      returnArg: { index: 0, type: 'int' },
      selectors: [
        {
          matchArgs: [{ index: 1, operator: 'Prefix', values: [read] }],
          matchReturnArgs: [{ index: 0, operator, values: ['0'] }],
        },
      ],
    })
    const does = [line('openat', read), line('openat', `${read}-not`)]
    const opened = async (operator: string): Promise<Array<string | undefined>> =>
      (await observed('returned', { kprobes: [opens(operator)] }, does)).map(
        ({ process_kprobe: kprobe }) => kprobe?.args?.[0]?.string_arg,
      )
    assert.deepEqual(await opened('GT'), [read])
    assert.deepEqual(await opened('LT'), [`${read}-not`])
  })

  const identity = kernelAtLeast(5, 17) ? false : 'UnderDir needs Linux 5.17'
  if (identity !== false) console.log(`writes of the kernel itself: skipped: ${identity}`)
  test('writes of the kernel itself pass __kernel_write instead of a permission hook', { skip: identity }, async () => {
    const [folder, pattern] = ['/tmp/ktrail-kinds-kernel', '/proc/sys/kernel/core_pattern']
    const [accounted, core] = [`${folder}/acct`, `${folder}/core`]
    const previous = readFileSync(pattern, 'utf8')
    mkdirSync(folder)
    writeFileSync(accounted, '')
    writeFileSync(pattern, core)
    const selectors = [{ matchArgs: [{ index: 0, operator: 'UnderDir', values: [folder] }] }]
    const functions = ['security_file_open', 'security_file_permission', '__kernel_write']
    const kprobes = functions.map((call) => ({ call, syscall: false, args: [{ index: 0, type: 'file' }], selectors }))
    const does = [line('acct', accounted), line('fork', '2'), line('core'), line('kill', '11')]
    const lines = await observed('kernel', { kprobes }, does).finally(() => writeFileSync(pattern, previous))
    rmSync(folder, { recursive: true })
    const files = (name: string): Array<string | undefined> => [
      ...new Set(
        lines.flatMap(({ process_kprobe: it }) => (it?.function_name === name ? it.args?.[0]?.file_arg?.path : [])),
      ),
    ]
    assert.deepEqual(files('security_file_open').toSorted(), [accounted, core])
    assert.deepEqual(files('security_file_permission'), [])
    // acct(2) opens the file through a mount of its own, so its path is not the one that opened it.
    const written = files('__kernel_write')
    assert.ok(written.includes(core) && written.length === 2, JSON.stringify(written))
  })

  test('tracepoints: fields of the event and arguments of raw ones, with filters', async () => {
    const rmdir = process.arch === 'arm64' ? 35 : 84
    const ours = [{ operator: 'In', values: [act] }]
    const raw = {
      subsystem: 'raw_syscalls',
      event: 'sys_enter',
      raw: true,
      args: [{ index: 1, type: 'long' }],
      selectors: [
        { matchArgs: [{ index: 1, operator: 'Equal', values: ['-1'] }] },
        { matchArgs: [{ index: 1, operator: 'Equal', values: [String(rmdir)] }], matchBinaries: ours },
      ],
    }
    const members = {
      subsystem: 'sched',
      event: 'sched_process_exec',
      raw: true,
      args: [
        { index: 2, type: 'file', resolve: 'file' },
        { index: 2, type: 'int', resolve: 'argc' },
        { index: 2, type: 'string', resolve: 'filename' },
      ],
      selectors: [{ matchArgs: [{ args: [2], operator: 'Postfix', values: ['/ktrail-kinds-program'] }] }],
    }
    const spec = {
      lists: [
        { name: 'removals', type: 'syscalls', values: [process.arch === 'arm64' ? 'sys_unlinkat' : 'sys_rmdir'] },
      ],
      tracepoints: [
        {
          subsystem: 'syscalls',
          event: 'sys_enter_openat',
          message: 'opens',
          tags: ['a.b'],
          args: [
            { index: 5, type: 'int', label: 'from' },
            { index: 6, type: 'string' },
          ],
          selectors: [{ matchArgs: [{ index: 6, operator: 'Equal', values: [read] }] }],
        },
        {
          subsystem: 'sched',
          event: 'sched_process_exec',
          args: [{ index: 4, type: 'data_loc' }, { index: 6 }],
          selectors: [{ matchArgs: [{ index: 4, operator: 'Postfix', values: ['/ktrail-kinds-program'] }] }],
        },
        {
          subsystem: 'sched',
          event: 'sched_process_exit',
          args: [
            { index: 5, type: 'nop' },
            { index: 4, type: 'string' },
          ],
          selectors: [{ matchArgs: [{ index: 4, operator: 'Equal', values: ['ktrail-act'] }] }],
        },
        {
          subsystem: 'raw_syscalls',
          event: 'sys_enter',
          args: [{ index: 4, type: 'syscall64' }],
          selectors: [{ matchArgs: [{ index: 4, operator: 'InMap', values: ['list:removals'] }], matchBinaries: ours }],
        },
        ...(hasRaw ? [raw, members] : []),
      ],
    }
    const program = '/tmp/ktrail-kinds-program'
    copyFileSync('/bin/true', program)
    assert.equal(await agent().apply('traced', document('traced', spec)), 'added', JSON.stringify(agent().log().at(-1)))
    const lines = await agent().during(async () => {
      await runAct([
        line('read', '/etc/passwd'),
        line('read', read),
        line('mkdir', '/tmp/ktrail-kinds-folder'),
        ...(process.arch === 'arm64' ? [] : [line('rmdir', '/tmp/ktrail-kinds-folder')]),
      ])
      execFileSync(program)
    })
    await agent().withdraw('traced')
    rmSync(program)
    rmSync('/tmp/ktrail-kinds-folder', { recursive: true, force: true })
    const traced = lines.flatMap(({ process_tracepoint: tracepoint }) => {
      if (tracepoint === undefined) return []
      const { process: _process, parent: _parent, policy_name, action, ...rest } = tracepoint
      assert.deepEqual([policy_name, action], ['traced', 'KPROBE_ACTION_POST'])
      return [rest]
    })
    const pids = lines.flatMap(({ process_exec: exec }) =>
      exec?.process?.binary === program ? [exec.process.pid] : [],
    )
    const calls = [
      {
        subsys: 'raw_syscalls',
        event: 'sys_enter',
        args: [{ syscall_id: { id: rmdir, abi: process.arch === 'arm64' ? 'arm64' : 'x64' } }],
      },
      ...(hasRaw ? [{ subsys: 'raw_syscalls', event: 'sys_enter', args: [{ long_arg: String(rmdir) }] }] : []),
    ]
    const wanted = [
      {
        subsys: 'syscalls',
        event: 'sys_enter_openat',
        args: [{ int_arg: -100, label: 'from' }, { string_arg: read }],
        message: 'opens',
        tags: ['a.b'],
      },
      ...(process.arch === 'arm64' ? [] : calls),
      { subsys: 'sched', event: 'sched_process_exit', args: [{ string_arg: 'ktrail-act' }] },
      { subsys: 'sched', event: 'sched_process_exec', args: [{ string_arg: program }, { int_arg: pids[0] }] },
      ...(hasRaw
        ? [
            {
              subsys: 'sched',
              event: 'sched_process_exec',
              args: [
                { file_arg: { path: program, permission: '-rwxr-xr-x' } },
                { int_arg: 1 },
                { string_arg: program },
              ],
            },
          ]
        : []),
    ]
    const sorted = (list: readonly object[]): string[] => list.map((each) => JSON.stringify(each)).toSorted()
    assert.deepEqual(sorted(traced), sorted(wanted))
  })

  test('tracepoints: a policy on a missing tracepoint or a missing field is refused', async () => {
    for (const [tracepoint, message] of [
      [
        { subsystem: 'sched', event: 'sched_process_exek' },
        /no tracepoint "sched:sched_process_exek" in this kernel: did you mean sched:sched_process_exec\?/,
      ],
      [
        { subsystem: 'sched', event: 'sched_process_exec', args: [{ index: 7, type: 'int' }] },
        /expected 0 to 6; the event has 4 filename, 5 pid, 6 old_pid/,
      ],
      [
        { subsystem: 'sched', event: 'sched_process_exec', args: [{ index: 4, type: 'int' }] },
        /type "int" does not fit, the kernel's is "__data_loc char \[\]" \(filename\)/,
      ],
      [
        { subsystem: 'sched', event: 'sched_process_exec', raw: true, args: [{ index: 3, type: 'int' }] },
        /it has 3 arguments: struct task_struct \*, pid_t, struct linux_binprm \*/,
      ],
    ] as const) {
      assert.equal(await agent().apply('bad', document('bad', { tracepoints: [tracepoint] })), 'refused')
      assert.match(JSON.stringify(agent().log().at(-1)).replaceAll('\\"', '"'), message)
    }
  })

  test('tracepoints: the process is killed at the entry of the call', async () => {
    const spec = {
      tracepoints: [
        {
          subsystem: 'syscalls',
          event: 'sys_enter_openat',
          args: [{ index: 6, type: 'string' }],
          selectors: [
            { matchArgs: [{ index: 6, operator: 'Equal', values: [read] }], matchActions: [{ action: 'Sigkill' }] },
          ],
        },
      ],
    }
    assert.equal(
      await agent().apply('killing', document('killing', spec)),
      'added',
      JSON.stringify(agent().log().at(-1)),
    )
    const lines = await agent().during(async () => {
      const { signal } = await startAct([line('read', read)]).ended
      assert.equal(signal, 'SIGKILL')
    })
    await agent().withdraw('killing')
    const actions = lines.flatMap(({ process_tracepoint: tracepoint }) => tracepoint?.action ?? [])
    assert.deepEqual(actions, ['KPROBE_ACTION_SIGKILL'])
  })

  test('lists: functions of this kernel that match a pattern', async () => {
    const lines = await observed(
      'by-pattern',
      {
        lists: [{ name: 'l', type: 'generated_ftrace', pattern: '^ksys_(read|write|lseek)$' }],
        kprobes: [{ call: 'list:l' }],
      },
      [line('create', '/tmp/ktrail-kinds'), line('read', '/tmp/ktrail-kinds')],
    )
    const names = new Set(lines.map(({ process_kprobe: kprobe }) => kprobe?.function_name))
    assert.ok(names.has('ksys_read'), [...names].join())
    assert.deepEqual(
      [...names].filter((name) => !/^ksys_(read|write|lseek)$/.test(name ?? '')),
      [],
    )
  })

  // 350 functions: minutes in the emulator.
  const long = process.env['KTRAIL_LONG'] === '1' ? false : 'takes minutes; KTRAIL_LONG=1 runs it'
  test('lists: all system calls of this kernel', { skip: long }, async () => {
    const lines = await observed(
      'all-calls',
      {
        lists: [{ name: 'l', type: 'generated_syscalls' }],
        kprobes: [{ call: 'list:l', selectors: [{ matchBinaries: [{ operator: 'In', values: [act] }] }] }],
      },
      [line('read', '/etc/hostname')],
    )
    const names = lines.map(({ process_kprobe: kprobe }) => kprobe?.function_name?.replace(/^__\w+?_sys_/, ''))
    for (const name of ['read', 'exit_group']) assert.ok(names.includes(name), names.join())
    assert.ok(names.includes('open') || names.includes('openat'), names.join())
  })
})
