/**
 * Bad input on a real kernel: a start that fails leaves nothing in it, and a refused policy changes nothing.
 * test/integration-host/agent/bad-input.test.ts has all starts that must fail.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BAD_POLICIES, GOOD, hook } from '../support/policies/bad.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { KTRAIL, configFile, leftovers, nothingLeft, run } from './support/faults.ts'

const skip = cannotRun()
if (skip !== false) console.log(`bad-input: skipped: ${skip}`)

/** Writes a config with this policy; returns its path. */
function withPolicy(text: string | Buffer): string {
  const folder = freshFolder('bad')
  mkdirSync(join(folder, 'policies'))
  writeFileSync(join(folder, 'policies/p.yaml'), text)
  return configFile(folder, {
    policies: [join(folder, 'policies')],
    server: { http: '127.0.0.1:0' },
    exporters: { archive: { type: 'file', path: join(folder, 'events.jsonl') } },
  })
}

describe('bad input', { skip }, () => {
  let agent: TestAgent
  after(() => agent?.[Symbol.asyncDispose]())
  before(nothingLeft)

  const [bad] = BAD_POLICIES.filter(({ name }) => name.startsWith('a bad hook after a good one'))
  it(`${bad?.name}: exit code 78, with its position`, async () => {
    const { code, stderr } = await run([KTRAIL, 'run', '--config', withPolicy(bad?.text ?? '')])
    assert.equal(code, 78, stderr.slice(0, 3000))
    assert.match(stderr, bad?.message ?? /^$/)
    await nothingLeft()
  })

  it('a good start works after it', async () => {
    agent = await TestAgent.start({ policies: { 'good.yaml': GOOD } })
    const lines = await agent.during(() => run(['/bin/true', 'good']))
    assert.ok(JSON.stringify(lines).includes('good'))
  })

  it('a second agent ends with exit code 1, and the first continues', async () => {
    assert.deepEqual(leftovers().includes('the lock'), true)
    const { code, stderr } = await run([KTRAIL, 'run', '--config', withPolicy(GOOD)])
    assert.equal(code, 1, stderr)
    assert.match(stderr, /another ktrail agent runs on this host: stop it first/)
    const lines = await agent.during(() => run(['/bin/true', 'still-there']))
    assert.ok(JSON.stringify(lines).includes('still-there'))
  })

  it('a bad policy file while the agent runs is reported, and the effective policies stay', async () => {
    const programs = leftovers().toSorted()
    assert.ok(programs.some((what) => what.startsWith('program hook_')))
    for (const { name, text, message } of BAD_POLICIES) {
      if (typeof text !== 'string') continue
      const from = agent.log().length
      assert.equal(await agent.apply('p', text), 'refused', name)
      const reasons = agent
        .log()
        .slice(from)
        .map(({ msg = '' }) => msg)
      assert.match(reasons.join('\n'), message, name)
    }
    assert.equal(await agent.apply('good', hook({ call: 'security_file_permision' })), 'refused')
    assert.equal((await agent.get('/readyz')).status, 200)
    await agent.until('the programs of the refused ones to go', () => leftovers().length === programs.length)
    // Link numbers are unique, so equal lists mean that no link was replaced.
    assert.deepEqual(leftovers().toSorted(), programs)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    await nothingLeft()
  })
})
