/**
 * Every way to reach a file, by identity and by name. By identity each must be reported that leads to a watched file, and none else. With
 * KTRAIL_COVERAGE=FOLDER the results go there as JSON, for docs/reference/coverage.md (`make coverage`).
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { WAYS } from './ways.ts'
import type { Coverage, Way } from './ways.ts'

/** docs/kernels.md */
const NEEDS = 'SameFile and UnderDir need 5.17'
const skip = cannotRun() || (!kernelAtLeast(5, 17) && NEEDS)
if (skip !== false) console.log(`coverage: skipped: ${skip}`)
const SOURCE = fileURLToPath(new URL('../../fixtures/e2e/reach.c', import.meta.url))
const RESULTS = process.env['KTRAIL_COVERAGE']

/** Functions that see content accessed, with the type of their argument that leads to the file. */
const HOOKS: ReadonlyArray<readonly [call: string, type: 'file' | 'path']> = [
  ['security_file_open', 'file'],
  ['security_file_permission', 'file'],
  ['security_mmap_file', 'file'],
  ['security_path_truncate', 'path'],
]

const document = (apiVersion: string, name: string, operator: string, values: readonly string[]): string =>
  JSON.stringify({
    apiVersion,
    kind: 'TracingPolicy',
    metadata: { name },
    spec: {
      kprobes: HOOKS.map(([call, type]) => ({
        call,
        syscall: false,
        args: [{ index: 0, type }],
        selectors: [{ matchArgs: [{ index: 0, operator, values }] }],
      })),
    },
  })

describe('coverage', { skip }, () => {
  let agent: TestAgent
  const reached = new Map<number, Way>()
  const reported = new Map<string, Set<string>>()

  before(async () => {
    const [watched, outside, built] = [freshFolder('watched'), freshFolder('outside'), freshFolder('reach')]
    const reach = join(built, 'reach')
    execFileSync('gcc', ['-O1', '-static', '-o', reach, SOURCE])
    for (const folder of [watched, outside, built]) chmodSync(folder, 0o777)
    for (const way of ['w_link_before', ...WAYS.filter(({ by }) => by === 'SameFile').map(({ name }) => name)]) {
      for (const folder of [watched, outside]) {
        mkdirSync(join(folder, way))
        chmodSync(join(folder, way), 0o777)
      }
      if (way !== 's_made_later') writeFileSync(join(watched, way, 'file'), 'x')
    }
    linkSync(join(watched, 'w_link_before', 'file'), join(outside, 'w_link_before', 'before'))
    const same = WAYS.filter(({ by }) => by === 'SameFile').map(({ name }) => join(watched, name, 'file'))
    agent = await TestAgent.start({
      policies: {
        'name.yaml': document('cilium.io/v1alpha1', 'name', 'Prefix', [`${watched}/`]),
        'under-dir.yaml': document('ktrail.dev/v1alpha1', 'under-dir', 'UnderDir', [watched]),
        'same-file.yaml': document('ktrail.dev/v1alpha1', 'same-file', 'SameFile', same),
      },
    })
    const lines = await agent.during(() => {
      const ways = new Map(WAYS.map((way) => [way.name, way]))
      for (const line of execFileSync(reach, [watched, outside], { encoding: 'utf8' }).trim().split('\n')) {
        const [name = '', pid = ''] = line.split(' ')
        reached.set(Number(pid), ways.get(name) ?? assert.fail(`${line}: a way without words`))
      }
    })
    for (const { process_kprobe: event } of lines) {
      const way = reached.get(event?.process?.pid ?? 0)
      if (way === undefined) continue
      const policies = reported.get(way.name) ?? new Set()
      reported.set(way.name, policies.add(event?.policy_name ?? ''))
    }
  })

  after(async () => {
    if (RESULTS !== undefined) {
      const coverage: Coverage = {
        kernel: release(),
        reported: Object.fromEntries(WAYS.map((way) => [way.name, { identity: isReported(way), name: isNamed(way) }])),
      }
      writeFileSync(join(RESULTS, `${release().split('.').slice(0, 2).join('.')}.json`), JSON.stringify(coverage))
    }
    await agent?.[Symbol.asyncDispose]()
  })

  const isReported = ({ name, by }: Way): boolean =>
    reported.get(name)?.has(by === 'UnderDir' ? 'under-dir' : 'same-file') === true
  const isNamed = ({ name }: Way): boolean => reported.get(name)?.has('name') === true

  for (const way of WAYS) {
    test(`${way.by} ${way.wanted ? 'reports' : 'does not report'} ${way.name}: ${way.words}`, () => {
      assert.equal(isReported(way), way.wanted)
    })
  }

  test('a policy by name sees a file by its own path, and not the aliases', () => {
    const named = (name: string): boolean | undefined => reported.get(name)?.has('name')
    assert.equal(named('w_open'), true)
    for (const name of ['w_link_after', 'w_detached', 'w_chroot_nobody']) assert.notEqual(named(name), true, name)
  })

  test('nothing else is warned of', () => {
    const warnings = agent.log().filter(({ level = 0, msg = '' }) => level >= 40 && !msg.includes('is not there'))
    assert.deepEqual(warnings, [])
  })
})
