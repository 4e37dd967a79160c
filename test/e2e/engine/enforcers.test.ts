/** Enforcers on a real kernel: a selector matches at one call, and the next call of the thread that the enforcer names fails or is punished. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { DONE } from '../../../collector/kernel/actions/acted.ts'
import { actBinary, line, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { path } from '../support/policy.ts'
import type { ActEnd } from '../support/act.ts'

const skip = cannotRun()
if (skip !== false) console.log(`enforcers: skipped: ${skip}`)
const top = skip === false ? freshFolder('enforcers') : '/none'
const at = (...names: string[]): string => join(top, ...names)

interface Options {
  readonly spec?: object
  readonly calls?: readonly string[]
}

/** A policy whose reads of a file leave a note. */
function noting(
  name: string,
  actions: readonly object[],
  { spec = {}, calls = ['security_inode_mkdir'] }: Options = {},
): string {
  const reads = {
    call: 'security_file_permission',
    syscall: false,
    args: [{ index: 0, type: 'file' }],
    selectors: [
      { matchArgs: [path('Equal', at(name, 'clean'))], matchActions: [{ action: 'CleanupEnforcerNotification' }] },
      { matchArgs: [path('Prefix', at(name))], matchActions: actions, label: `of ${name}` },
    ],
  }
  return JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name },
    spec: { kprobes: [reads], enforcers: [{ calls }], ...spec },
  })
}

const fails = (argError: number): object => ({ action: 'NotifyEnforcer', argError })
const signals = (argSig: number): object => ({ action: 'NotifyEnforcer', argSig })

describe('enforcers', { skip }, () => {
  let agent: TestAgent
  before(async () => {
    agent = await TestAgent.start()
  })
  after(() => agent?.[Symbol.asyncDispose]())

  const prepared = async (name: string, document: string): Promise<void> => {
    mkdirSync(at(name))
    for (const file of ['f', 'clean']) writeFileSync(at(name, file), 'x')
    assert.equal(await agent.apply(name, document), 'added', JSON.stringify(agent.log().at(-1)))
  }
  const done = async (policy: string): Promise<Record<string, number>> => {
    const page = await agent.metrics()
    const all = DONE.map((action) => [action, page.sum('ktrail_hook_actions_total', { policy, action })] as const)
    return Object.fromEntries(all.filter(([, count]) => count > 0))
  }
  const ran = async (does: readonly string[]): Promise<{ end: ActEnd; actions: unknown[] }> => {
    let end: ActEnd | undefined
    const lines = await agent.during(async () => {
      end = await startAct(does).ended
    })
    assert.ok(end !== undefined)
    return {
      end,
      actions: lines.flatMap(({ process_kprobe: kprobe }) => (kprobe === undefined ? [] : [kprobe.action])),
    }
  }
  const NOTIFIED = 'KPROBE_ACTION_NOTIFYENFORCER'

  test('enforcers: the next call of the thread fails, once', async () => {
    await prepared('fail', noting('fail', [fails(-1)]))
    const [made, other, later, own] = ['made', 'other', 'later', 'own'].map((name) => at('fail', name))
    const { end, actions } = await ran([
      line('mkdir', own ?? ''),
      line('thread', 1),
      line('read', at('fail', 'f')),
      line('mkdir', other ?? ''),
      line('read', at('fail', 'f')),
      line('denied', 'mkdir', made ?? ''),
      line('mkdir', later ?? ''),
    ])
    assert.equal(end.code, 0)
    assert.deepEqual(actions, [NOTIFIED, NOTIFIED])
    assert.deepEqual(
      [made, other, later, own].map((folder) => existsSync(folder ?? '')),
      [false, true, true, true],
    )
    assert.deepEqual(await done('fail'), { notify_enforcer: 2, override: 1 })
    const label = { policy: 'fail', label: 'of fail' }
    const page = await agent.metrics()
    assert.equal(page.sum('ktrail_selector_actions_total', { ...label, action: 'notify_enforcer' }), 2)
    assert.equal(page.sum('ktrail_selector_actions_total', { ...label, action: 'post' }), 2)
    await agent.withdraw('fail')
  })

  test('enforcers: a note can be removed', async () => {
    await prepared('clean', noting('clean', [fails(-1)]))
    const { end, actions } = await ran([
      line('read', at('clean', 'f')),
      line('read', at('clean', 'clean')),
      line('mkdir', at('clean', 'made')),
    ])
    assert.deepEqual([end.code, existsSync(at('clean', 'made'))], [0, true])
    assert.deepEqual(actions, [NOTIFIED, 'KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION'])
    await agent.withdraw('clean')
  })

  test('enforcers: the process gets the signal at the call, even at a system call', async () => {
    await prepared('kill', noting('kill', [signals(9)], { calls: ['sys_mkdir', 'sys_mkdirat'] }))
    const { end } = await ran([
      line('read', at('kill', 'f')),
      line('create', at('kill', 'before')),
      line('mkdir', at('kill', 'made')),
      line('create', at('kill', 'after')),
    ])
    assert.deepEqual(
      [end.signal, existsSync(at('kill', 'before')), existsSync(at('kill', 'after'))],
      ['SIGKILL', true, false],
    )
    assert.deepEqual(await done('kill'), { notify_enforcer: 1, sigkill: 1 })
    await agent.withdraw('kill')
  })

  test('enforcers: at the tracepoint of all system calls, as in the policy that Tetragon ships', async () => {
    const binary = actBinary(at('act-enter'))
    const enter = {
      subsystem: 'raw_syscalls',
      event: 'sys_enter',
      args: [{ index: 4, type: 'syscall64' }],
      selectors: [
        {
          matchArgs: [{ index: 0, operator: 'InMap', values: ['list:folders'] }],
          matchBinaries: [{ operator: 'In', values: [binary] }],
          matchActions: [{ action: 'NotifyEnforcer', argError: -1, argSig: 10 }],
        },
      ],
    }
    const spec = {
      kprobes: undefined,
      lists: [{ name: 'folders', type: 'syscalls', values: ['sys_mkdir', 'sys_mkdirat'] }],
      tracepoints: [enter],
    }
    await prepared('enter', noting('enter', [], { spec, calls: ['security_inode_mkdir'] }))
    let end: ActEnd | undefined
    const lines = await agent.during(async () => {
      end = await startAct([line('mkdir', at('enter', 'made'))], { binary }).ended
      await startAct([line('mkdir', at('enter', 'free'))]).ended
    })
    const events = lines.flatMap(({ process_tracepoint: event }) => (event === undefined ? [] : [event.action]))
    assert.deepEqual(events, [NOTIFIED])
    assert.deepEqual(
      [end?.signal, existsSync(at('enter', 'made')), existsSync(at('enter', 'free'))],
      ['SIGUSR1', false, true],
    )
    assert.deepEqual(await done('enter'), { notify_enforcer: 1, override: 1, signal: 1 })
    await agent.withdraw('enter')
  })

  test('enforcers: mode monitor only counts', async () => {
    const spec = { options: [{ name: 'policy-mode', value: 'monitor' }] }
    await prepared('monitor', noting('monitor', [fails(-1)], { spec }))
    const { end, actions } = await ran([line('read', at('monitor', 'f')), line('mkdir', at('monitor', 'made'))])
    assert.deepEqual([end.code, actions], [0, [NOTIFIED]])
    assert.deepEqual(await done('monitor'), { monitor_notify_enforcer: 1 })
    await agent.withdraw('monitor')
  })

  test('enforcers: a hook on the call itself acts at once', async () => {
    const calls = ['security_file_permission']
    await prepared('direct', noting('direct', [{ ...fails(-13), argSig: 10 }], { calls }))
    const { end, actions } = await ran([line('read', at('direct', 'f')), line('create', at('direct', 'after'))])
    assert.deepEqual([end.signal, actions, existsSync(at('direct', 'after'))], ['SIGUSR1', [NOTIFIED], false])
    assert.deepEqual(await done('direct'), { override: 1, signal: 1 })
    await agent.withdraw('direct')
  })

  test('enforcers: an enforcer is refused if the kernel cannot make its call fail, and the message names the call', async (t) => {
    const applied = await agent.apply('refused', noting('refused', [fails(-1)], { calls: ['sys_mkdir'] }))
    if (applied === 'added') {
      t.diagnostic('this kernel makes system calls fail')
      await agent.withdraw('refused')
      return
    }
    const log = agent.log().at(-1)
    assert.match(JSON.stringify(log), /enforcers: sys_mkdir: Override on system calls requires a kernel with/)
  })

  test('enforcers: no call fails after the policy is removed or the agent is killed', async () => {
    await prepared('gone', noting('gone', [fails(-1)]))
    const read = line('read', at('gone', 'f'))
    const waits = startAct([read, line('wait'), line('mkdir', at('gone', 'first'))])
    await agent.until('the note', async () => (await done('gone'))['notify_enforcer'] === 1)
    await agent.withdraw('gone')
    waits.go()
    assert.deepEqual([(await waits.ended).code, existsSync(at('gone', 'first'))], [0, true])
    await prepared('killed', noting('killed', [fails(-1)]))
    const again = startAct([line('read', at('killed', 'f')), line('wait'), line('mkdir', at('killed', 'second'))])
    await agent.until('the note', async () => (await done('killed'))['notify_enforcer'] === 1)
    await agent.kill()
    again.go()
    assert.deepEqual([(await again.ended).code, existsSync(at('killed', 'second'))], [0, true])
  })
})
