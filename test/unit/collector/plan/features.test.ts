/** Features of a kernel → output of `ktrail check --kernel` and names in the log; docs/reference/kernels.md has the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FEATURES, kernelFindings, lackingFeatures } from '../../../../collector/plan/features.ts'
import type { KernelFacts } from '../../../../collector/plan/facts.ts'
import { read } from '../../support/pages.ts'
import { kernel } from '../support/facts.ts'

const locks = { renameLock: 1n, mountLock: 1n }
/** Debian's kernels cannot make system calls fail. */
const debian = { ...locks, override: false, errorInjection: false }
const debian510 = kernel(5, 10, debian)
const debian61 = kernel(6, 1, { ...debian, fprobe: false })
const debian612 = kernel(6, 12, debian)
const debian73 = kernel(7, 3, { ...debian, preemption: 'lazy' })
const whole73 = { ...debian73, errorInjection: true }

const LACKING: ReadonlyArray<readonly [KernelFacts, string[]]> = [
  [
    debian510,
    [
      'bpf_get_func_arg',
      'bpf_loop',
      'types of modules',
      'several signals at a return',
      'kernel stacks at a return',
      'kprobe.multi',
      'maps that grow in tracing programs',
      'raw tracepoints',
      'bpf_rdonly_cast',
      'counters of skipped runs',
      'kprobe.session',
      'error injection',
    ],
  ],
  [debian61, ['kprobe.multi', 'bpf_rdonly_cast', 'counters of skipped runs', 'kprobe.session', 'error injection']],
  [debian612, ['kprobe.session', 'error injection']],
  [debian73, ['error injection']],
  [whole73, []],
  [{ ...debian73, override: true }, []],
  [{ ...whole73, realTime: false }, ['real-time priority']],
  [{ ...debian612, realTime: false }, ['kprobe.session', 'error injection']],
  [{ ...whole73, renameLock: 0n }, ['sequence locks in /proc/kallsyms']],
  [{ ...whole73, security: false }, ['security hooks']],
  [{ ...whole73, fprobe: false }, ['kprobe.multi', 'kprobe.session']],
  [{ ...whole73, session: 'none' }, ['kprobe.session']],
]

for (const [facts, want] of LACKING) {
  test(`features: ${facts.release} lacks ${want.join(', ') || 'nothing'}`, () =>
    assert.deepEqual(Object.keys(lackingFeatures(facts)), want))
}

const MODES: ReadonlyArray<readonly [KernelFacts, entry: string, returns: string]> = [
  [debian510, 'kprobe', 'joined entry and return'],
  [debian61, 'kprobe', 'fexit'],
  [debian612, 'kprobe.multi', 'fexit'],
  [{ ...debian612, preemption: 'full' }, 'kprobe.multi', 'joined entry and return'],
  [{ ...debian612, preemption: 'unknown' }, 'kprobe.multi', 'joined entry and return'],
  [debian73, 'kprobe.multi', 'kprobe.session'],
]

for (const [facts, entry, returns] of MODES) {
  test(`features: ${facts.release}, preemption ${facts.preemption}: hooks by ${entry}, with a return value by ${returns}`, () => {
    const texts = kernelFindings(facts, true).map(({ text }) => text)
    assert.ok(texts.includes(`hooks without a return value: ${entry}`))
    assert.ok(texts.includes(`hooks with a return value: ${returns}`))
  })
}

test('features: each one has a line, with its replacement if the kernel lacks it', () => {
  for (const facts of [debian510, debian73]) {
    const findings = kernelFindings(facts, true).slice(3)
    for (const [i, { name, isIn, without }] of FEATURES.entries()) {
      const found = findings[i]
      assert.equal(found?.state, isIn(facts) ? 'ok' : 'without')
      assert.ok(found.text.startsWith(name) && found.text.endsWith(isIn(facts) ? name : without), found.text)
    }
  }
})

test('features: properties that only root can read are unknown to other users', () => {
  const hidden = { ...debian73, renameLock: 0n, mountLock: 0n }
  const locksOf = (isRoot: boolean): unknown =>
    kernelFindings(hidden, isRoot).find(({ text }) => text.startsWith('sequence locks'))?.state
  assert.deepEqual([locksOf(true), locksOf(false)], ['without', 'unknown'])
})

test('features: an unknown preemption is not taken for a known one', () => {
  const state = (preemption: KernelFacts['preemption']): unknown =>
    kernelFindings({ ...debian612, preemption }, true)[0]?.state
  assert.deepEqual((['none', 'voluntary', 'full', 'lazy', 'unknown'] as const).map(state), [
    'ok',
    'ok',
    'ok',
    'ok',
    'unknown',
  ])
})

test('features: docs/reference/kernels.md has a row for each, in this order', () => {
  const [features = ''] = read('docs/reference/kernels.md').split('\n## Distributions')
  const rows = [...features.matchAll(/^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].slice(1)
  assert.deepEqual(
    rows.map(([, name, needs, without]) => [name, needs, without].map((cell) => cell?.replaceAll('`', ''))),
    FEATURES.map(({ name, needs, without }) => [name, needs, without]),
  )
})
