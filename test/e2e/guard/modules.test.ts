/** A policy on a function of a kernel module: it waits for the module, does not hold it, and comes back with it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import { lostIn } from '../support/record.ts'

const noTypes = kernelAtLeast(5, 11) ? false : 'this kernel has no types of modules'
const skip = cannotRun() || noTypes
if (skip !== false) console.log(`modules: skipped: ${skip}`)
/** The guest's modules lie in a folder of their own. */
const MODPROBE = existsSync('/run/modprobe') ? '/run/modprobe' : '/sbin/modprobe'
const SEEN_MS = 10_000
const AGAIN = 'policy attached again, because kernel modules were loaded or unloaded'

const load = (): unknown => execFileSync(MODPROBE, ['loop'])
const unload = (): unknown => execFileSync(MODPROBE, ['-r', 'loop'])

const COMMAND = 0x4c99

/** A command that the driver does not have: nothing happens but the call. */
const call = (): unknown =>
  execFileSync('perl', ['-e', `open F, "+<", "/dev/loop-control" or die; ioctl F, ${COMMAND}, 0`])

const hook = (returns: boolean): object => ({
  call: 'loop_control_ioctl',
  syscall: false,
  ignore: { callNotFound: true },
  args: [
    { index: 0, type: 'file' },
    { index: 1, type: 'uint32' },
  ],
  ...(returns ? { return: true, returnArg: { index: 0, type: 'int' } } : {}),
})

let agent: TestAgent
before(async () => {
  if (skip !== false) return
  unload()
  agent = await TestAgent.start({ policies: { 'p.yaml': policy('loops', [hook(false), hook(true)]) } })
})
after(() => agent?.[Symbol.asyncDispose]())

async function stateOf(): Promise<string> {
  const status: unknown = await (await agent.get('/status')).json()
  assert.ok(typeof status === 'object' && status !== null && 'policies' in status && Array.isArray(status.policies))
  return status.policies[0].state
}

/** Waits until the policies are attached again after `change`; returns the seconds. */
async function attachedAgain(change: () => unknown): Promise<number> {
  const lines = (): number => agent.log().filter(({ msg }) => msg === AGAIN).length
  const [had, from] = [lines(), performance.now()]
  change()
  await agent.until(AGAIN, () => lines() > had, SEEN_MS)
  return (performance.now() - from) / 1000
}

/** Events of one call, as hooks with and without a return value report it. */
const events = async (): Promise<number> =>
  (await agent.during(call)).filter(({ process_kprobe: kprobe }) => {
    const [file, command] = kprobe?.args ?? []
    return file?.file_arg?.path === '/dev/loop-control' && command?.uint_arg === COMMAND
  }).length

test('modules: a policy on functions of a module is hooked while the module is loaded', { skip }, async () => {
  assert.match(
    await (await agent.get('/readyz')).text(),
    /^ready: 1 policy, 0 hooks\npolicy loops: this kernel has no loop_control_ioctl, skipped until a module provides it\n/,
  )
  assert.ok(agent.log().some(({ msg }) => msg?.startsWith('optional call skipped until a module provides it: ')))
  assert.equal(await stateOf(), 'waiting')
  const seconds = [await attachedAgain(load)]
  assert.deepEqual([await events(), await stateOf()], [2, 'enabled'])
  seconds.push(
    await attachedAgain(() => {
      // A hook that held the module would make this fail.
      unload()
      load()
    }),
  )
  // On a slow machine a check may run between the two changes: then the next check attaches the hook.
  await agent.until('it is attached', async () => (await stateOf()) === 'enabled', SEEN_MS)
  assert.equal(await events(), 2)
  seconds.push(await attachedAgain(unload))
  assert.equal((await agent.metrics()).sum('ktrail_policy_hooks', { policy: 'loops', state: 'loaded' }), 0)
  assert.equal(lostIn(agent.lines()), 0)
  console.log(`a change of modules was noticed after ${seconds.map((each) => each.toFixed(1)).join(', ')} s`)
})
