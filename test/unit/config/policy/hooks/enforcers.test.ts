/** `enforcers`: the hooks that a policy has because of them, and refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type { HookSpec } from '../../../../../config/policy/policy.ts'

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n'
const parse = (spec: string): ReturnType<typeof parsePolicy> => parsePolicy(`${HEAD}${spec}`, 'p.yaml')

const ENTER = 'subsystem: raw_syscalls, event: sys_enter, args: [{index: 4, type: syscall64}]'
const LISTS =
  '  lists: [{name: dups, type: syscalls, values: [sys_dup, x64/sys_dup2]}, {name: reads, values: [vfs_read]}]\n'
const DUPS = '{index: 4, operator: InMap, values: ["list:dups"]}'
const note = (keys: string): string => `{matchActions: [{action: NotifyEnforcer, ${keys}}]}`
const at = (keys: string, calls: string): string =>
  `${LISTS}  tracepoints: [{${ENTER}, selectors: [{matchArgs: [${DUPS}], matchActions: [{action: NotifyEnforcer, ${keys}}]}]}]\n  enforcers: [{calls: [${calls}]}]\n`

/** The call, and the actions of its selectors. */
function shown({ call, syscall, selectors }: HookSpec): string {
  const actions = selectors.map(({ actions: each }) => {
    const { notify, enforces, monitored, signals = [], error } = each ?? {}
    return [
      each?.last,
      notify && `notes ${notify.error} ${notify.signal}`,
      enforces && (enforces.denies ? 'enforces' : 'signals'),
      monitored && 'monitored',
      ...signals,
      error,
    ]
      .filter((word) => word !== undefined)
      .join(' ')
  })
  return `${call}${syscall ? '()' : ''}: ${actions.join(', ')}`
}

const ENTERED = 'raw_syscalls:sys_enter'
const GOOD: ReadonlyArray<readonly [name: string, spec: string, hooks: readonly string[]]> = [
  [
    'of a list, with an error',
    at('argError: -1', '"list:dups"'),
    [`${ENTERED}: notifyenforcer notes -1 0`, 'sys_dup(): nopost enforces', '__x64_sys_dup2(): nopost enforces'],
  ],
  [
    'with a signal only',
    at('argSig: 9', 'sys_dup'),
    [`${ENTERED}: notifyenforcer notes 0 9`, 'sys_dup(): nopost signals'],
  ],
  [
    'with both, of a security function',
    at('argError: -13, argSig: 10', 'security_file_open'),
    [`${ENTERED}: notifyenforcer notes -13 10`, 'security_file_open: nopost enforces'],
  ],
  [
    'a number that is no error',
    at('argError: 5', 'sys_dup'),
    [`${ENTERED}: notifyenforcer notes -1 0`, 'sys_dup(): nopost enforces'],
  ],
  [
    'a hook on the call itself acts at once',
    `  kprobes: [{call: sys_dup, selectors: [${note('argError: -1, argSig: 9')}]}]\n  enforcers: [{calls: [sys_dup]}]\n`,
    ['sys_dup(): notifyenforcer 9 -1'],
  ],
  [
    'hooks on the call and elsewhere',
    `  kprobes: [{call: sys_dup, selectors: [${note('argSig: 9')}]}, {call: vfs_read, syscall: false, selectors: [${note('argSig: 10')}]}]\n  enforcers: [{calls: [sys_dup]}]\n`,
    ['sys_dup(): notifyenforcer 9', 'vfs_read: notifyenforcer notes 0 10', 'sys_dup(): nopost signals'],
  ],
  [
    'one is taken back',
    `  kprobes: [{call: vfs_read, syscall: false, selectors: [${note('argSig: 9')}, {matchActions: [{action: CleanupEnforcerNotification}]}]}]\n  enforcers: [{calls: [sys_dup]}]\n`,
    ['vfs_read: notifyenforcer notes 0 9, cleanupenforcernotification notes 0 0', 'sys_dup(): nopost signals'],
  ],
  [
    'in mode monitor',
    `  options: [{name: policy-mode, value: monitor}]\n${at('argError: -1', 'sys_dup')}`,
    [`${ENTERED}: notifyenforcer monitored`],
  ],
]
for (const [name, spec, hooks] of GOOD) {
  test(`enforcers: ${name}`, () => {
    const result = parse(spec)
    assert.ok('policy' in result, 'problems' in result ? result.problems[0]?.message : '')
    assert.deepEqual(result.policy.hooks.map(shown), hooks)
  })
}

const hook = (keys: string): string => `  kprobes: [{call: sys_dup, selectors: [${note(keys)}]}]\n`
const BAD: ReadonlyArray<readonly [name: string, spec: string, message: RegExp]> = [
  ['none in the policy', hook('argSig: 9'), /^action NotifyEnforcer: the policy has no enforcers: add enforcers:/],
  [
    'two',
    `${hook('argSig: 9')}  enforcers: [{calls: [sys_dup]}, {calls: [sys_dup]}]`,
    /enforcers: expected at most 1 items, got 2/,
  ],
  [
    'no calls',
    `${hook('argSig: 9')}  enforcers: [{}]`,
    /enforcers\[0\]\.calls: missing; expected a list of system calls/,
  ],
  ['an empty list of calls', `${hook('argSig: 9')}  enforcers: [{calls: []}]`, /calls: expected at least one call/],
  [
    'another key',
    `${hook('argSig: 9')}  enforcers: [{call: [sys_dup]}]`,
    /unknown key "call" \(did you mean "calls"\?\)/,
  ],
  [
    'another function',
    at('argError: -1', 'vfs_read'),
    /calls\[0\]: expected a system call such as sys_dup, or a function security_\*, got "vfs_read"/,
  ],
  [
    'a list of other functions',
    at('argError: -1', '"list:reads"'),
    /calls\[0\]: expected a system call .* got "vfs_read"/,
  ],
  ['a list that is not there', at('argError: -1', '"list:dup"'), /no list is named "dup"; the policy has dups, reads/],
  [
    'neither error nor signal',
    `${LISTS}  tracepoints: [{${ENTER}, selectors: [{matchActions: [{action: NotifyEnforcer}]}]}]\n  enforcers: [{calls: [sys_dup]}]`,
    /action NotifyEnforcer does nothing: expected argError, argSig or both/,
  ],
  ['a signal that there is not', at('argSig: 65', 'sys_dup'), /argSig: expected a whole number from 1 to 64/],
  [
    'a return value instead of an error',
    at('argError: 0', 'sys_dup'),
    /argError: expected a whole number from -4095 to -1/,
  ],
  [
    'twice in a selector',
    `  kprobes: [{call: vfs_read, syscall: false, selectors: [{matchActions: [{action: NotifyEnforcer, argSig: 9}, {action: CleanupEnforcerNotification}]}]}]\n  enforcers: [{calls: [sys_dup]}]`,
    /expected at most one action NotifyEnforcer or CleanupEnforcerNotification in a selector/,
  ],
  [
    'in a security hook',
    `  lsmhooks: [{hook: file_open, selectors: [${note('argSig: 9')}]}]\n  enforcers: [{calls: [sys_dup]}]`,
    /action NotifyEnforcer: expected Override, Signal or Sigkill in a security hook/,
  ],
]
for (const [name, spec, message] of BAD) {
  test(`enforcers: refused: ${name}`, () => {
    const result = parse(spec)
    assert.ok('problems' in result)
    assert.match(result.problems.map((problem) => problem.message).join('\n'), message)
  })
}

test('enforcers: an enforcer without NotifyEnforcer is a warning', () => {
  const result = parse('  kprobes: [{call: sys_dup}]\n  enforcers: [{calls: [sys_dup]}]\n')
  assert.ok('policy' in result)
  assert.deepEqual(result.policy.hooks.length, 1)
  assert.match(result.warnings[0]?.message ?? '', /spec\.enforcers: no selector has action NotifyEnforcer/)
})
