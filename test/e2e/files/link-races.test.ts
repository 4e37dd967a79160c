/** Files that get several names below watched folders at once, and while the agent searches these: no filter loses a file, and no other file matches. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { LONG } from '../../support/long.ts'
import { makeProgram } from '../../support/programs.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'

const skip = cannotRun() || (!kernelAtLeast(5, 17) && 'UnderDir needs 5.17')
const ROUNDS = LONG ? 1_000_000 : 3000
/** Rounds whose events are read at once. */
const AT_ONCE = 3000
/** Files that a search finds in each folder. */
const LINKS = 1000
const SEARCHES = LONG ? 1000 : 20
/** Reads during each. */
const READS = 50

describe('names below two watched folders', { skip }, () => {
  let agent: TestAgent
  const top = skip === false ? freshFolder('races') : ''
  const program = join(top, 'link-races')
  const at = (...names: string[]): string => join(top, ...names)

  const document = (name: string): string =>
    policy(name, [
      {
        call: 'security_file_open',
        syscall: false,
        args: [{ index: 0, type: 'file' }],
        selectors: [{ matchArgs: [{ index: 0, operator: 'UnderDir', values: [at(name)] }] }],
      },
    ]).replace('cilium.io/', 'ktrail.dev/')

  before(async () => {
    for (const folder of ['src', 'one', 'two']) mkdirSync(at(folder))
    for (let i = 0; i < LINKS; i++) {
      writeFileSync(at('src', `kept-${i}`), 'x')
      linkSync(at('src', `kept-${i}`), at('one', `kept-${i}`))
      linkSync(at('src', `kept-${i}`), at('two', `kept-${i}`))
    }
    writeFileSync(at('src', 'other'), 'x')
    linkSync(at('src', 'other'), at('src', 'other-too'))
    makeProgram('e2e/link-races', program)
    agent = await TestAgent.start({ policies: { 'one.yaml': document('one'), 'two.yaml': document('two') } })
  })
  after(() => agent[Symbol.asyncDispose]())

  /** Policies of each opened path below src/, with a mark where the match is in doubt. */
  async function opened(action: () => unknown): Promise<Map<string, string[]>> {
    const by = new Map<string, string[]>()
    for (const { process_kprobe: event } of await agent.during(action)) {
      const file = event?.args?.[0]?.file_arg
      if (file?.path?.startsWith(at('src')) !== true || event?.process?.binary === process.execPath) continue
      const name = file.path.slice(at('src').length + 1)
      by.set(name, [...(by.get(name) ?? []), `${event?.policy_name}${file.flags ?? ''}`])
    }
    return by
  }

  test('two CPUs give one file a name each: both policies report it', async () => {
    for (let done = 0; done < ROUNDS; done += AT_ONCE) {
      const by = await opened(() => execFileSync(program, [top, String(AT_ONCE)]))
      assert.equal(by.size, AT_ONCE)
      for (const [name, policies] of by) assert.deepEqual(policies.toSorted(), ['one', 'two'], name)
    }
  })

  test('each open during searches is reported by both policies', async () => {
    const kept = at('src', `kept-${LINKS - 1}`)
    const by = await opened(async () => {
      for (let i = 0; i < SEARCHES; i++) {
        mkdirSync(at(`moved-${i}`))
        // A folder that moves there starts a search.
        renameSync(at(`moved-${i}`), at('one', `moved-${i}`))
        execFileSync('sh', ['-c', `i=0; while [ $i -lt ${READS} ]; do read x <"$0"; i=$((i + 1)); done`, kept])
        await setTimeout(20)
      }
    })
    const policies = by.get(`kept-${LINKS - 1}`) ?? []
    assert.deepEqual([policies.length, by.size], [2 * READS * SEARCHES, 1])
    assert.deepEqual([...new Set(policies)].toSorted(), ['one', 'two'])
  })

  test('a file with names elsewhere only is no event', async () => {
    const by = await opened(() => execFileSync('cat', [at('src', 'other')]))
    assert.deepEqual([...by], [])
  })
})
