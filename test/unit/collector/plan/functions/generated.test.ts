/** Lists that only a kernel can fill. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type { GeneratedCalls, Policy } from '../../../../../config/policy/policy.ts'
import { generatedOf, keyOf } from '../../../../../collector/plan/functions/generated.ts'
import type { Generated } from '../../../../../collector/plan/functions/generated.ts'
import { lackingOf, planPolicy } from '../../../../../collector/plan/plan.ts'
import type { Symbols } from '../../../../../collector/plan/plan.ts'
import type { KernelFacts } from '../../../../../collector/plan/facts.ts'
import type { KernelFunction } from '../../../../../native/types.ts'

const KNOWN = ['ksys_read', '__x64_sys_write', '__arm64_sys_write', 'ksys_write', '__x64_sys_dup', '__ia32_sys_dup']
const FTRACE =
  'ksys_read\nksys_write.isra.0\nksys_lseek\nksys_write\t[a_module]\nvfs_read\n__x64_sys_write\nksys_read\n'

function policyOf(...lists: string[]): Policy {
  const items = lists.map((list, i) => `{name: l${i}, ${list}}`).join(', ')
  const calls = lists.map((_, i) => `{call: "list:l${i}"}`).join(', ')
  const head = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n'
  const result = parsePolicy(`${head}  lists: [${items}]\n  kprobes: [${calls}]`, 'p.yaml')
  assert.ok('policy' in result)
  return result.policy
}

const ALL = 'type: generated_syscalls'
const by = (pattern: string): string => `type: generated_ftrace, pattern: ${JSON.stringify(pattern)}`

async function filled(
  list: string,
  arch: KernelFacts['arch'] = 'x64',
  known: readonly string[] = KNOWN,
  ftrace: string | undefined = FTRACE,
): Promise<Generated | undefined> {
  const policy = policyOf(list)
  const found = await generatedOf(
    [policy],
    arch,
    async () => known,
    async () => ftrace,
  )
  const generated = policy.hooks[0]?.generated
  assert.ok(generated !== undefined)
  return found.get(keyOf(generated))
}

const many = Array.from({ length: 1025 }, (_, i) => `f${i}`)
const TOO_MANY = 'expected at most 1024 functions of this kernel in the list, got 1025; use a narrower pattern'
const NONE = 'expected at least one function of this kernel in the list, got none'

for (const { name, got, want } of [
  { name: 'all system calls of x64', got: () => filled(ALL), want: ['__x64_sys_dup', '__x64_sys_write'] },
  { name: 'all system calls of arm64', got: () => filled(ALL, 'arm64'), want: ['__arm64_sys_write'] },
  // Clones, and functions that BTF leaves out, have no type information; the second ksys_read is another function of that name.
  { name: 'functions by a pattern', got: () => filled(by('^ksys_')), want: ['ksys_read', 'ksys_write'] },
  { name: 'functions by a pattern anywhere', got: () => filled(by('wr')), want: ['ksys_write', '__x64_sys_write'] },
  { name: 'a pattern that matches none', got: () => filled(by('^sys_$')), want: NONE },
  { name: 'a kernel without such system calls', got: () => filled(ALL, 'x64', ['a']), want: NONE },
  {
    name: 'more functions than a policy may have',
    got: () => filled(by('f'), 'x64', many, many.join('\n')),
    want: TOO_MANY,
  },
  {
    name: 'no list of ftrace',
    got: async () =>
      (
        await generatedOf(
          [policyOf(by('f'))],
          'x64',
          async () => KNOWN,
          async () => undefined,
        )
      ).get('f'),
    want: 'cannot read /sys/kernel/tracing/available_filter_functions: mount tracefs there, and run ktrail as root',
  },
] satisfies ReadonlyArray<{ name: string; got: () => Promise<Generated | undefined>; want: Generated }>) {
  test(`generated lists: ${name}`, async () => assert.deepEqual(await got(), want))
}

test('generated lists: a policy without one reads nothing from the kernel', async () => {
  const unasked = (): never => assert.fail('asked')
  const result = parsePolicy(
    'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec: {kprobes: [{call: sys_dup}]}',
    'p.yaml',
  )
  assert.ok('policy' in result)
  assert.equal((await generatedOf([result.policy], 'x64', unasked, unasked)).size, 0)
})

const type: KernelFunction = { returns: 'long', returnsBase: 'long', params: [] }
const symbols = (generated: (list: GeneratedCalls) => Generated): Symbols => ({
  functionType: (name) => (KNOWN.includes(name) || many.includes(name) ? type : undefined),
  functionNames: () => KNOWN,
  tracepoints: { format: () => undefined, names: () => [] },
  generated,
  loadOf: () => '',
  memberOf: () => undefined,
})
const FACTS: KernelFacts = {
  release: '6.12',
  version: [6, 12],
  arch: 'x64',
  preemption: 'voluntary',
  fprobe: true,
  trampolines: true,
  loops: true,
  typedLoads: true,
  session: 'plain',
  unifiedCgroups: true,
  security: true,
  override: false,
  errorInjection: false,
  realTime: true,
  renameLock: 1n,
  mountLock: 2n,
}

test('generated lists: each function has a hook with its own number and the same message', () => {
  let id = 0
  const plan = planPolicy(
    policyOf(ALL, by('^ksys_')),
    FACTS,
    symbols(({ of }) => (of === 'syscalls' ? ['__x64_sys_dup', '__x64_sys_write'] : ['ksys_read'])),
    'auto',
    () => ++id,
  )
  assert.deepEqual(
    plan.hooks.map(({ symbol, spec, hook }) => [symbol, spec.call, spec.syscall, hook.id]),
    [
      ['__x64_sys_dup', '__x64_sys_dup', true, 1],
      ['__x64_sys_write', '__x64_sys_write', true, 2],
      ['ksys_read', 'ksys_read', false, 3],
    ],
  )
})

test('generated lists: a list that the kernel cannot fill is refused with its place', () => {
  const policy = policyOf(ALL)
  const empty = symbols(() => NONE)
  const message = `list:l0: ${NONE}`
  assert.throws(() => planPolicy(policy, FACTS, empty, 'auto', () => 1), { message: `p.yaml:6:13: ${message}` })
  assert.deepEqual(lackingOf(policy, FACTS, empty), [{ file: 'p.yaml', line: 6, col: 13, message }])
})

test('generated lists: lists and functions together are bounded', () => {
  const half = many.slice(0, 600)
  assert.throws(
    () =>
      planPolicy(
        policyOf(by('a'), by('b')),
        FACTS,
        symbols(() => half),
        'auto',
        () => 1,
      ),
    { message: 'p.yaml:6:13: expected at most 1024 functions, those of lists included, got 1200' },
  )
})
