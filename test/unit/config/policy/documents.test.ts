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
  assert.ok('policy' in result, 'problems' in result ? result.problems[0]?.message : '')
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

test('lists: a list that only a kernel can fill is one call', () => {
  const { hooks } =
    policyOf(`  lists: [{name: all, type: generated_syscalls}, {name: some, type: generated_ftrace, pattern: "^ksys_(read|write)"}]
  kprobes: [{call: "list:all", syscall: false}, {call: "list:some"}]`)
  assert.deepEqual(
    hooks.map(({ call, syscall, generated }) => ({ call, syscall, generated })),
    [
      { call: 'list:all', syscall: true, generated: { of: 'syscalls' } },
      { call: 'list:some', syscall: false, generated: { of: 'ftrace', pattern: '^ksys_(read|write)' } },
    ],
  )
})

test('macros: a label of the selector, else of the first macro', () => {
  const result = parsePolicy(
    `${HEAD}  selectorsMacros: {a: {label: of a}, b: {label: of b}, c: {matchPIDs: [{operator: In, values: [1]}]}}
  kprobes: [{call: sys_read, selectors: [{macros: [b, a]}, {macros: [a], label: own}, {macros: [c]}, {label: ""}]}]\n`,
    'p.yaml',
  )
  assert.ok('policy' in result)
  assert.deepEqual(
    result.policy.hooks[0]?.selectors.map(({ label }) => label),
    ['of b', 'own', undefined, undefined],
  )
})

test('macros: a selector has the fields of the macros that it names', () => {
  const spec = (selectors: string): string =>
    `  selectorsMacros: {pid: {matchPIDs: [{operator: In, values: [1]}]}, args: {matchArgs: [{index: 0, operator: Equal, values: ["1"]}], matchActions: [{action: NoPost}]}}
  kprobes: [{call: sys_read, args: [{index: 0, type: int}], selectors: [${selectors}]}]`
  const [macros, written] = [
    '{macros: [pid, args]}, {macros: [pid], matchActions: [{action: Post}]}, {macros: []}',
    '{matchPIDs: [{operator: In, values: [1]}], matchArgs: [{index: 0, operator: Equal, values: ["1"]}], matchActions: [{action: NoPost}]}, {matchPIDs: [{operator: In, values: [1]}], matchActions: [{action: Post}]}, {}',
  ].map((selectors) =>
    JSON.parse(
      JSON.stringify(policyOf(spec(selectors)).hooks[0]?.selectors, (key, value: unknown) => {
        if (key === 'at') return undefined
        return typeof value === 'bigint' ? String(value) : value
      }),
    ),
  )
  assert.deepEqual(macros, written)
})

test('options: a kprobe for each function, if the policy requires it', () => {
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
    'a macro that no selector names',
    '  selectorsMacros: {a: {matchPIDs: []}}\n  kprobes: [{call: sys_read}]',
    'spec.selectorsMacros.a: no selector uses it in macros',
  ],
  [
    'returnArg without return',
    '  kprobes: [{call: sys_read, returnArg: {index: 0, type: int}}]',
    'spec.kprobes[0].returnArg: has no effect without return: true; add return: true, or remove returnArg',
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
    'a generated list with values',
    list('{name: a, type: generated_syscalls, values: [sys_read]}'),
    'spec.lists[0].values: a list of type generated_syscalls gets its values from the kernel; remove values',
  ],
  [
    'a list of system calls with a pattern',
    list('{name: a, type: syscalls, values: [sys_read], pattern: x}'),
    'spec.lists[0].pattern: applies to type generated_ftrace, not to a list of type syscalls; remove it',
  ],
  [
    'a list of all system calls with a pattern',
    list('{name: a, type: generated_syscalls, pattern: x}'),
    'spec.lists[0].pattern: applies to type generated_ftrace, not to a list of type generated_syscalls; remove it',
  ],
  [
    'a list of functions with a pattern',
    list('{name: a, values: [f], pattern: x}'),
    'spec.lists[0].pattern: applies to type generated_ftrace, not to a list without type; remove it',
  ],
  [
    'a list by a pattern without one',
    list('{name: a, type: generated_ftrace}'),
    'spec.lists[0].pattern: missing; expected a regular expression for names of functions, such as "^ksys_"',
  ],
  [
    'a list by an empty pattern',
    list('{name: a, type: generated_ftrace, pattern: ""}'),
    'spec.lists[0].pattern: expected a regular expression, got an empty text',
  ],
  [
    'a list by a pattern that is none',
    list('{name: a, type: generated_ftrace, pattern: "^(ksys"}'),
    'spec.lists[0].pattern: expected a regular expression of RE2 (missing closing ): `^(ksys`), got "^(ksys"',
  ],
  [
    'a list by a pattern that looks ahead',
    list('{name: a, type: generated_ftrace, pattern: "^(?=k)"}'),
    'spec.lists[0].pattern: expected a regular expression of RE2 (invalid or unsupported Perl syntax: `(?=`; RE2 has neither look-around nor back-references), got "^(?=k)"',
  ],
  [
    'a list of another type',
    list('{name: a, type: syscall, values: [sys_read]}'),
    'spec.lists[0].type: expected syscalls, generated_syscalls, generated_ftrace, or no type for kernel functions, got "syscall" (did you mean "syscalls"?)',
  ],
  [
    'a list of another generated type',
    list('{name: a, type: generated_ftraces, pattern: x}'),
    'spec.lists[0].type: expected syscalls, generated_syscalls, generated_ftrace, or no type for kernel functions, got "generated_ftraces" (did you mean "generated_ftrace"?)',
  ],
  [
    'a macro that is not there',
    '  selectorsMacros: {reads: {matchPIDs: [{operator: In, values: [1]}]}}\n  kprobes: [{call: sys_read, selectors: [{macros: [read, reads]}]}]',
    'spec.kprobes[0].selectors[0].macros[0]: no macro is named "read"; the policy has reads (did you mean "reads"?)',
  ],
  [
    'a macro of a policy without any',
    '  kprobes: [{call: sys_read, selectors: [{macros: [a]}]}]',
    'spec.kprobes[0].selectors[0].macros[0]: no macro is named "a"; the policy has no selectorsMacros',
  ],
  [
    'a field of the selector and of its macro',
    '  selectorsMacros: {a: {matchPIDs: []}}\n  kprobes: [{call: sys_read, selectors: [{macros: [a], matchPIDs: []}]}]',
    'spec.kprobes[0].selectors[0].macros[0]: macro "a" has matchPIDs, and the selector has it too; remove one',
  ],
  [
    'a field of two macros',
    '  selectorsMacros: {a: {matchPIDs: []}, b: {matchPIDs: []}}\n  kprobes: [{call: sys_read, selectors: [{macros: [a, b]}]}]',
    'spec.kprobes[0].selectors[0].macros[1]: macro "b" has matchPIDs, and macro "a" has it too; remove one',
  ],
  [
    'a macro in a macro',
    '  selectorsMacros: {a: {macros: [b]}}\n  kprobes: [{call: sys_read}]',
    'spec.selectorsMacros.a: unknown key "macros"; it belongs in an item of selectors',
  ],
  [
    'macros as a list',
    '  selectorsMacros: [a]\n  kprobes: [{call: sys_read}]',
    'spec.selectorsMacros: expected a mapping from names to selectors, got a list',
  ],
  [
    'a macro that is a text',
    '  selectorsMacros: {a: b}\n  kprobes: [{call: sys_read}]',
    'spec.selectorsMacros.a: expected a mapping with matchArgs, matchData, matchReturnArgs, matchBinaries, matchParentBinaries, matchPIDs, matchNamespaces, matchCapabilities, matchNamespaceChanges, matchCapabilityChanges, matchWorkloads, matchActions, label, got "b"',
  ],
  [
    'a filter of a macro on an argument that the hook lacks',
    '  selectorsMacros: {a: {matchArgs: [{index: 1, operator: Equal, values: ["1"]}]}}\n  kprobes: [{call: sys_read, args: [{index: 0, type: int}], selectors: [{macros: [a]}]}]',
    "spec.kprobes[0].selectors[0].matchArgs[0].index: expected an index of the hook's args (0), got 1; add it to args, or correct it",
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
    'spec.kprobes[0].call: no list is named "read"; the policy has reads (did you mean "reads"?)',
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
    'spec.options[0].name: Tetragon option "override-method" is not supported by this version of ktrail',
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
