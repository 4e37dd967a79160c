/** Lists, options, and the policies of test/fixtures/policies/features, one for each feature. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Policy } from '../../../../config/policy/policy.ts'

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n'
const FEATURES = join(import.meta.dirname, '../../../fixtures/policies/features')

const parse = (spec: string): ReturnType<typeof parsePolicy> => parsePolicy(`${HEAD}${spec}`, 'p.yaml')

function policyOf(spec: string): Policy {
  const result = parse(spec)
  assert.ok('policy' in result, JSON.stringify(result))
  return result.policy
}

const calls = (spec: string): string[] =>
  policyOf(spec).hooks.map(({ call, syscall }) => `${call}${syscall ? ' (system call)' : ''}`)

test('documents: every policy of a feature is accepted', () => {
  const files = readdirSync(FEATURES)
  assert.ok(files.length >= 10)
  for (const file of files) {
    const result = parsePolicy(readFileSync(join(FEATURES, file), 'utf8'), file)
    assert.ok('policy' in result, file)
    assert.equal(`${result.policy.name}.yaml`, file)
  }
})

test('lists: a call that refers to one is a hook for each of its functions', () => {
  assert.deepEqual(
    calls(`  lists: [{name: a, type: syscalls, values: [sys_dup, x64/sys_dup2, arm64/sys_dup3, i386/sys_dup, __x64_sys_read]}, {name: b, values: [vfs_read, vfs_write]}]
  kprobes: [{call: "list:a", syscall: false}, {call: "list:b", syscall: false}, {call: sys_open}]`),
    [
      ...['sys_dup', '__x64_sys_dup2', '__arm64_sys_dup3', '__ia32_sys_dup', '__x64_sys_read'].map(
        (call) => `${call} (system call)`,
      ),
      'vfs_read',
      'vfs_write',
      'sys_open (system call)',
    ],
  )
})

test('options: a kprobe for each function, where that is asked for', () => {
  const option = (value: string): boolean | undefined =>
    policyOf(`  options: [{name: disable-kprobe-multi, value: "${value}"}]\n  kprobes: [{call: sys_f}]`).singleProbes
  assert.deepEqual(['1', 't', 'TRUE', 'true', '0', 'false', 'F'].map(option), [
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})

for (const [name, spec, want] of [
  [
    'an unknown option',
    '  options: [{name: disable-kprobe-mult, value: "1"}]\n  kprobes: [{call: sys_read}]',
    'spec.options[0].name: unknown option "disable-kprobe-mult" is ignored (did you mean "disable-kprobe-multi"?)',
  ],
  [
    'returnArg without return',
    '  kprobes: [{call: sys_read, returnArg: {index: 0, type: int}}]',
    'spec.kprobes[0].returnArg: has no effect without return: true; add that, or drop this',
  ],
] as const) {
  test(`documents: ${name} is a warning`, () => {
    const result = parse(spec)
    assert.ok('policy' in result)
    assert.deepEqual(
      result.warnings.map(({ message }) => message),
      [want],
    )
    assert.equal(result.policy.hooks[0]?.returnArg, undefined)
  })
}

const list = (item: string): string => `  lists: [${item}]\n  kprobes: [{call: sys_read}]`
const many = (count: number, text: string): string =>
  Array.from({ length: count }, (_, i) => text.replace('N', String(i))).join(', ')

const BAD: ReadonlyArray<readonly [name: string, spec: string, message: string]> = [
  ['a list without a name', list('{values: [f]}'), 'spec.lists[0].name: missing; expected the name of the list'],
  ['a list without values', list('{name: a}'), 'spec.lists[0].values: missing; expected a list of functions'],
  [
    'an empty list',
    list('{name: a, values: []}'),
    'spec.lists[0].values: expected at least one value, got an empty list',
  ],
  [
    'two lists of a name',
    list('{name: a, values: [f]}, {name: a, values: [g]}'),
    'spec.lists[1].name: another list is named "a"',
  ],
  [
    'a generated list',
    list('{name: a, type: generated_syscalls}'),
    'spec.lists[0].type: known Tetragon type of list "generated_syscalls" is not supported by this version of ktrail; write the functions as values',
  ],
  [
    'a list of another type',
    list('{name: a, type: syscall, values: [sys_read]}'),
    'spec.lists[0].type: expected syscalls, or no type for kernel functions, got "syscall" (did you mean "syscalls"?)',
  ],
  [
    'an unknown ABI',
    list('{name: a, type: syscalls, values: [arm32/sys_read]}'),
    'spec.lists[0].values[0]: expected one of x64, arm64, i386 before the slash, got "arm32/sys_read"',
  ],
  [
    'a function in a list of system calls',
    list('{name: a, type: syscalls, values: [vfs_read]}'),
    'spec.lists[0].values[0]: expected a system call such as sys_openat, got "vfs_read"; for another kernel function add syscall: false',
  ],
  [
    'a list that is not there',
    '  lists: [{name: reads, values: [f]}]\n  kprobes: [{call: "list:read"}]',
    'spec.kprobes[0].call: no list is named "read", the policy has reads (did you mean "reads"?)',
  ],
  [
    'more functions than a policy may have',
    `  lists: [{name: a, values: [${many(600, 'fN')}]}]\n  kprobes: [{call: "list:a", syscall: false}, {call: "list:a", syscall: false}, {call: "list:a", syscall: false}]`,
    'spec.kprobes[1]: expected at most 1024 functions, those of lists included',
  ],
  [
    'a mode that there is not',
    '  options: [{name: policy-mode, value: audit}]\n  kprobes: [{call: sys_read}]',
    'spec.options[0].value: expected enforce or monitor, got "audit"',
  ],
  [
    'an option of enforcers',
    '  options: [{name: override-method, value: fmod-ret}]\n  kprobes: [{call: sys_read}]',
    'spec.options[0].name: known Tetragon option "override-method" is not supported by this version of ktrail',
  ],
]

for (const [name, spec, message] of BAD) {
  test(`documents: ${name} is refused`, () => {
    const result = parse(spec)
    assert.ok('problems' in result)
    assert.deepEqual(
      result.problems.map((problem) => problem.message),
      [message],
    )
  })
}
