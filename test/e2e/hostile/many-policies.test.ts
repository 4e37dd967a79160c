/** More policies on one function than programs of one kind that the kernel allows, ours and other tracers' together. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { openObject } from '../../../native/index.ts'
import { compileFixture, rejects } from '../../integration/native-fixture.ts'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'

const POLICIES = 60
/** BPF_MAX_TRAMP_LINKS: fentry, fexit and fmod_ret programs of one function. */
const TRAMPOLINE = 38
/** In an emulated guest, sixty policies take half a minute to load, and longer on a busy machine. */
const LOADED_MS = 600_000

const skip = cannotRun()
const folder = skip === false ? freshFolder('many') : '/none'
const file = join(folder, 'f')

/** Policies by attach mode, from /status. */
async function attached(agent: TestAgent): Promise<Record<string, number>> {
  const status: unknown = await (await agent.get('/status')).json()
  assert.ok(typeof status === 'object' && status !== null && 'policies' in status && Array.isArray(status.policies))
  const sums: Record<string, number> = {}
  for (const one of status.policies) {
    for (const [mode, count] of Object.entries(one.attached)) sums[mode] = (sums[mode] ?? 0) + Number(count)
  }
  return sums
}

/** Names of the policies that reported one read of the file, each as often as it did. */
async function reporting(agent: TestAgent): Promise<string[]> {
  const lines = await agent.during(() => runAct([line('read', file)]))
  return lines.flatMap(({ process_kprobe: kprobe }) => kprobe?.policy_name ?? []).toSorted()
}

describe('many policies on one function', { skip }, () => {
  let agent: TestAgent
  before(async () => {
    writeFileSync(file, 'x')
    agent = await TestAgent.start()
  })
  after(() => agent?.[Symbol.asyncDispose]())

  test(`many policies: ${POLICIES} with return values load, and each reports a hit`, async (t) => {
    const names = Array.from({ length: POLICIES }, (_, i) => `p${String(i).padStart(2, '0')}`)
    for (const name of names) {
      writeFileSync(join(agent.policies, `${name}.yaml`), policy(name, [fileHook([path('Equal', file)])]))
    }
    const logged = (word: string): string[] =>
      agent.log().flatMap(({ msg }) => (msg?.startsWith(`policy ${word}`) === true ? [msg] : []))
    await agent.until(
      `${POLICIES} policies to be loaded or refused`,
      () => logged('added').length + logged('refused').length >= POLICIES,
      LOADED_MS,
    )
    t.diagnostic(`attached: ${JSON.stringify(await attached(agent))}`)
    assert.deepEqual(logged('refused'), [])
    assert.deepEqual(await reporting(agent), names)
  })

  test('many policies: a policy is attached although other tracers have filled the trampoline', async () => {
    const call = 'security_file_open'
    const programs = Array.from({ length: TRAMPOLINE + 1 }, (_, i) => {
      return { name: `other_${i + 10}`, kind: 'fexit', target: call } as const
    })
    using others = await openObject(compileFixture('hostile/trampoline.bpf.c'), { programs })
    using links = new DisposableStack()
    let attachedOthers = 0
    const attachAll = async (): Promise<void> => {
      for (const { name } of programs) {
        links.use(await others.attach(name))
        attachedOthers++
      }
    }
    await rejects(
      attachAll(),
      'ATTACH_FAILED',
      /fexit to "security_file_open": the function has as many .* \(at most 38\)/,
    )
    // 36 on 7.3, where the code for more programs does not fit into a page.
    assert.ok(attachedOthers > 29 && attachedOthers <= TRAMPOLINE, `${attachedOthers} programs of others`)
    const hook = { ...fileHook([path('Equal', file)]), call, args: [{ index: 0, type: 'file' }] }
    const { fexit: fexits = 0 } = await attached(agent)
    assert.equal(await agent.apply('crowded', policy('crowded', [hook])), 'added')
    const { fexit: now = 0 } = await attached(agent)
    assert.equal(now, fexits, 'there is no room for fexit')
    assert.equal((await reporting(agent)).filter((name) => name === 'crowded').length, 1)
  })

  test('many policies: nothing was lost and the accounting balances', async (t) => {
    const metrics = await agent.metrics()
    t.diagnostic(`losses: ${metrics.losses().join(' ')}`)
    assert.deepEqual(metrics.losses(), [])
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})
