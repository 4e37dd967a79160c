/** A policy that needs one of several functions: the agent hooks the first that this kernel has, and is not ready without any. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder, ktrail } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'

const skip = cannotRun()
if (skip !== false) console.log(`groups: skipped: ${skip}`)
const folder = skip === false ? freshFolder('groups') : '/none'
const file = join(folder, 'f')
const filters = [path('Prefix', folder)]
const LACKING =
  'policy lacking: this kernel has none of security_of_tomorrow, security_of_yesterday, so the policy does not see day'

const optional = (call: string, args: readonly object[]): object => ({
  ...fileHook(filters),
  call,
  ignore: { callNotFound: true },
  args,
})

const ofFile = [{ index: 0, type: 'file' }]

/** A policy with these groups. */
const grouped = (name: string, groups: Readonly<Record<string, string>>, ...hooks: object[]): string => {
  const document: { metadata: object } = JSON.parse(policy(name, hooks))
  return JSON.stringify({ ...document, metadata: { name, annotations: groups } })
}

let agent: TestAgent
before(async () => {
  if (skip !== false) return
  writeFileSync(file, 'x')
  agent = await TestAgent.start()
})
after(() => agent?.[Symbol.asyncDispose]())

test('groups: one change of the size is one event, whichever function this kernel has for it', { skip }, async () => {
  const groups = {
    'ktrail.one-of/truncate-open-file': 'security_of_tomorrow, security_file_truncate, security_path_truncate',
  }
  const hooks = [
    optional('security_of_tomorrow', ofFile),
    optional('security_file_truncate', ofFile),
    optional('security_path_truncate', [{ index: 0, type: 'path' }]),
  ]
  assert.equal(await agent.apply('sizes', grouped('sizes', groups, ...hooks)), 'added')
  const lines = await agent.during(() => runAct([line('ftruncate', file, 1)]))
  assert.equal(lines.filter((each) => each.process_kprobe !== undefined).length, 1)
  const page = await agent.metrics()
  const count = (state: string): number => page.sum('ktrail_policy_hooks', { policy: 'sizes', state })
  assert.deepEqual([count('loaded'), count('call_not_found'), count('lacking')], [1, 0, 0])
  assert.equal((await agent.get('/readyz')).status, 200)
})

test(
  'groups: an agent without any function of a group is not ready, and the policy’s other hooks work',
  { skip },
  async () => {
    const text = grouped(
      'lacking',
      { 'ktrail.one-of/day': 'security_of_tomorrow, security_of_yesterday' },
      fileHook(filters),
      optional('security_of_tomorrow', ofFile),
      optional('security_of_yesterday', ofFile),
    )
    assert.equal(await agent.apply('lacking', text), 'added')
    const answer = await agent.get('/readyz')
    assert.deepEqual([answer.status, (await answer.text()).split('\n')[0]], [503, LACKING])
    assert.ok(agent.log().some(({ level, msg }) => level === 50 && msg === `the agent is not ready: ${LACKING}`))
    const lines = await agent.during(() => runAct([line('read', file)]))
    assert.ok(lines.some((each) => each.process_kprobe?.policy_name === 'lacking'))
    const config = join(folder, 'config.yaml')
    writeFileSync(config, JSON.stringify({ policies: [agent.policies], exporters: { screen: { type: 'stdout' } } }))
    const { code, stdout } = await ktrail(['check', '--kernel', '--config', config])
    assert.equal(code, 78)
    assert.ok(stdout.split('\n').includes(`missing  ${LACKING}`), stdout)
    await agent.withdraw('lacking')
    assert.equal((await agent.get('/readyz')).status, 200)
  },
)
