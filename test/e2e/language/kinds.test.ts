/** Kinds of hooks and lists that only a kernel can fill: what they report of calls that are known. */
import assert from 'node:assert/strict'
import { chmodSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import test, { after, before, describe } from 'node:test'
import { actBinary, line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import type { Line } from '../support/record.ts'

const skip = cannotRun()

const document = (name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec })

describe('kinds of hooks', { skip }, () => {
  let agent: TestAgent
  let act = ''
  const read = '/tmp/ktrail-kinds-read'

  before(async () => {
    act = actBinary()
    writeFileSync(read, 'x')
    chmodSync(read, 0o644)
    agent = await TestAgent.start()
  })
  after(() => {
    rmSync(read, { force: true })
    return agent?.[Symbol.asyncDispose]()
  })

  /** The lines of the program while a policy is loaded. */
  const observed = async (name: string, spec: object, does: readonly string[]): Promise<Line[]> => {
    assert.equal(await agent.apply(name, document(name, spec)), 'added', JSON.stringify(agent.log().at(-1)))
    const lines = await agent.during(() => runAct(does))
    await agent.withdraw(name)
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

  test('matchReturnArgs: only calls that return what is asked for', async () => {
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
