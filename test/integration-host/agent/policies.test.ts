/** Policy files that are added, changed, renamed and removed while the agent runs, and those that are refused. The kernel plays records. */
import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'
import type { Line } from '../../e2e/support/record.ts'

const skip = cannotReplay()
const below = (name: string): string => `/watched/${name}`

const watching = (name: string, ...files: string[]): string =>
  policy(name, [fileHook([path('Equal', ...files.map(below))])])

/** `POLICY FILE` of each kprobe line. */
function seen(lines: readonly Line[]): string[] {
  return lines.flatMap(({ process_kprobe: kprobe }) => {
    const file = kprobe?.args?.[0]?.file_arg?.path ?? ''
    return kprobe === undefined ? [] : [`${kprobe.policy_name} ${file.slice(below('').length)}`]
  })
}

describe('policies', { skip }, () => {
  let agent: TestAgent
  const mounted = join(hostFolder('policies'), 'configmap')

  before(async () => {
    for (const version of ['..1', '..2']) mkdirSync(join(mounted, version), { recursive: true })
    writeFileSync(join(mounted, '..1', 'k.yaml'), watching('mounted', 'a'))
    writeFileSync(join(mounted, '..2', 'k.yaml'), watching('mounted', 'b'))
    symlinkSync('..1', join(mounted, '..data'))
    symlinkSync('..data/k.yaml', join(mounted, 'k.yaml'))
    agent = await TestAgent.start({ replayed: true, paths: [mounted] })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  const reading = (...files: string[]): Promise<void> => agent.runs(['/bin/act'], ...files.map(below))

  /** Waits for a log line about a file, from this position on. */
  const logLine = (from: number, file: string, word: string): Promise<string> =>
    agent.until(`"policy ${word}" about ${file} in the log`, () => {
      const found = agent
        .log()
        .slice(from)
        .find((entry) => entry.file === file && entry.msg?.startsWith(`policy ${word}`) === true)
      return found?.msg
    })

  test('policies: in a folder mounted by Kubernetes, a swap of its link replaces the policy', async () => {
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['mounted a'])
    const from = agent.log().length
    symlinkSync('..2', join(mounted, '..next'))
    renameSync(join(mounted, '..next'), join(mounted, '..data'))
    await logLine(from, join(mounted, 'k.yaml'), 'replaced')
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['mounted b'])
    const removal = agent.log().length
    rmSync(join(mounted, 'k.yaml'))
    await logLine(removal, join(mounted, 'k.yaml'), 'removed')
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), [])
  })

  test('policies: a bad file is reported with its position and changes nothing', async () => {
    const file = join(agent.policies, 'edited.yaml')
    assert.equal(await agent.apply('edited', watching('edited', 'a')), 'added')
    const effective = async (): Promise<string[]> => seen(await agent.during(() => reading('a', 'b')))
    const bad: ReadonlyArray<readonly [text: string, message: RegExp]> = [
      ['kind: [', /edited\.yaml:\d+:\d+: /],
      ['', /edited\.yaml:1:1: /],
      [watching('edited', 'b').replace('Equal', 'Equals'), /edited\.yaml:\d+:\d+: .*Equals/],
      [watching('edited', 'b').replace('file_permission', 'file_permision'), /did you mean security_file_permission/],
      [watching('edited', 'b').replace('"file"', '"path"'), /edited\.yaml:\d+:\d+: argument 0 /],
    ]
    for (const [text, message] of bad) {
      const from = agent.log().length
      assert.equal(await agent.apply('edited', text), 'refused', text)
      assert.match(await logLine(from, file, 'refused'), message)
      assert.deepEqual(await effective(), ['edited a'], text)
    }
    assert.equal(await agent.apply('edited', watching('edited', 'b')), 'replaced')
    assert.deepEqual(await effective(), ['edited b'])
    await agent.withdraw('edited')
    // A new file that is bad has no effect at all, and can be corrected.
    const two = policy('new', [fileHook([path('Equal', below('a'))]), { ...fileHook([]), call: 'no_such_function' }])
    assert.equal(await agent.apply('new', two), 'refused')
    assert.deepEqual(await effective(), [])
    assert.equal(await agent.apply('new', watching('new', 'b')), 'added')
    assert.deepEqual(await effective(), ['new b'])
    await agent.withdraw('new')
  })

  test('policies: removing a bad file removes its effective version', async () => {
    assert.equal(await agent.apply('broken', watching('broken', 'a')), 'added')
    assert.equal(await agent.apply('broken', 'kind: ['), 'refused')
    await agent.withdraw('broken')
    assert.deepEqual(seen(await agent.during(() => reading('a'))), [])
  })

  test('policies: an optional call that this kernel does not have is skipped, and /status shows it', async () => {
    const missing = { ...fileHook([]), call: 'security_of_tomorrow', ignore: { callNotFound: true } }
    const file = join(agent.policies, 'part.yaml')
    const from = agent.log().length
    assert.equal(await agent.apply('part', policy('part', [missing, fileHook([path('Equal', below('a'))])])), 'added')
    const skipped = agent
      .log()
      .slice(from)
      .filter(({ msg }) => msg?.startsWith('optional call skipped') === true)
    assert.equal(skipped.length, 1)
    assert.match(skipped[0]?.msg ?? '', /part\.yaml:\d+:\d+: no kernel function "security_of_tomorrow"/)
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['part a'])
    const metrics = await agent.metrics()
    const hooks = (state: string): number => metrics.sum('ktrail_policy_hooks', { policy: 'part', state })
    assert.deepEqual([hooks('loaded'), hooks('call_not_found')], [1, 1])
    const status: unknown = await (await agent.get('/status')).json()
    assert.ok(typeof status === 'object' && status !== null && 'policies' in status && Array.isArray(status.policies))
    const { attached, events, ...reported } = status.policies.find(({ name }) => name === 'part')
    assert.deepEqual(Object.values(attached), [1])
    assert.ok(events > 0, `${events} events`)
    assert.deepEqual(reported, {
      name: 'part',
      state: 'partially_enabled',
      hooks: 1,
      call_not_found: ['security_of_tomorrow'],
      lacking: [],
      limited: [],
    })
    assert.match(await (await agent.get('/readyz')).text(), /^policy part: this kernel has no security_of_tomorrow/m)
    // A missing required call refuses the policy; the previous version stays.
    const tried = agent.log().length
    assert.equal(await agent.apply('part', policy('part', [{ ...missing, ignore: {} }])), 'refused')
    assert.match(await logLine(tried, file, 'refused'), /no kernel function "security_of_tomorrow"/)
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['part a'])
    await agent.withdraw('part')
  })

  test('policies: of two files with one name the first is effective; the second follows once the first is removed', async () => {
    assert.equal(await agent.apply('first', watching('same', 'a')), 'added')
    const from = agent.log().length
    assert.equal(await agent.apply('second', watching('same', 'b')), 'refused')
    assert.match(await logLine(from, join(agent.policies, 'second.yaml'), 'refused'), /"same".*first\.yaml/)
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['same a'])
    rmSync(join(agent.policies, 'first.yaml'))
    await logLine(from, join(agent.policies, 'second.yaml'), 'replaced')
    assert.deepEqual(seen(await agent.during(() => reading('a', 'b'))), ['same b'])
    await agent.withdraw('second')
  })

  test('policies: a renamed file stays effective', async () => {
    assert.equal(await agent.apply('old', watching('renamed', 'a')), 'added')
    const from = agent.log().length
    const lines = await agent.during(async () => {
      renameSync(join(agent.policies, 'old.yaml'), join(agent.policies, 'new.yaml'))
      await logLine(from, join(agent.policies, 'new.yaml'), 'replaced')
      await reading('a', 'a', 'a')
    })
    assert.deepEqual(seen(lines), ['renamed a', 'renamed a', 'renamed a'])
    await agent.withdraw('new')
    assert.deepEqual(seen(await agent.during(() => reading('a'))), [])
  })

  test('policies: hidden files and files with another extension are ignored', async () => {
    const lines = await agent.during(async () => {
      for (const name of ['.hidden.yaml', 'text.txt', 'x.yaml~', 'x.yaml.bak']) {
        writeFileSync(join(agent.policies, name), watching(`p${name.length}`, 'a'))
      }
      // This policy is applied last, so that the other files have been read by then.
      assert.equal(await agent.apply('real', watching('real', 'a')), 'added')
      await reading('a')
    })
    assert.deepEqual(seen(lines), ['real a'])
    await agent.withdraw('real')
  })

  test('policies: nothing was lost and the accounting balances', async () => {
    const metrics = await agent.metrics()
    assert.deepEqual(metrics.losses(), [])
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})
