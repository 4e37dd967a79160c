/** A policy and the facts of a kernel → what is loaded and attached there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CollectorError } from '../../../../collector/errors.ts'
import type { KernelFacts } from '../../../../collector/kernel/facts.ts'
import { chooseMode, planPolicy, symbolOf } from '../../../../collector/kernel/plan.ts'
import type { AttachMode, PlannedObject, Symbols } from '../../../../collector/kernel/plan.ts'
import { HOOK, HOOK_SLOTS } from '../../../../collector/kernel/wire.ts'
import type { KprobeSpec, Policy } from '../../../../config/policy/policy.ts'
import type { AttachKind, KernelFunction } from '../../../../native/types.ts'
import { kernel } from '../support/facts.ts'
import { arg, onPath, spec, typeOf } from '../support/specs.ts'

const debian61 = kernel(6, 1, { fprobe: false })
const v612 = kernel(6, 12)
const full612 = kernel(6, 12, { preemption: 'full' })
const lazy73 = kernel(7, 3, { preemption: 'lazy' })

const entry = spec()
const returns = spec({ return: true, returnArg: arg(0, 'int') })
const userText = spec({ ...returns, syscall: true, args: [arg(0, 'string')] })
const userNumber = spec({ ...returns, syscall: true, args: [arg(0, 'int')] })
const kernelText = spec({ ...returns, args: [arg(0, 'string')] })

const MODES: ReadonlyArray<
  readonly [what: string, spec: KprobeSpec, KernelFacts, wanted: AttachMode | 'auto', AttachMode]
> = [
  ['no return', entry, v612, 'auto', 'kprobe.multi'],
  ['no return, no fprobe', entry, debian61, 'auto', 'kprobe'],
  ['no return, full preemption', entry, full612, 'auto', 'kprobe.multi'],
  ['no return, kprobe wanted', entry, v612, 'kprobe', 'kprobe'],
  ['no return, fexit wanted: it has no use', entry, v612, 'fexit', 'kprobe.multi'],
  ['no return, session wanted without fprobe', entry, debian61, 'kprobe.session', 'kprobe'],
  ['return', returns, v612, 'auto', 'fexit'],
  ['return on 6.1', returns, debian61, 'auto', 'fexit'],
  ['return, no preemption', returns, kernel(6, 12, { preemption: 'none' }), 'auto', 'fexit'],
  ['return on 5.10, without bpf_get_func_arg', returns, kernel(5, 10), 'auto', 'join'],
  ['return on 5.10, fexit wanted', returns, kernel(5, 10), 'fexit', 'join'],
  ['return, full preemption', returns, full612, 'auto', 'join'],
  ['return, full preemption on 6.1', returns, { ...debian61, preemption: 'full' }, 'auto', 'join'],
  ['return, unknown preemption is taken for full', returns, kernel(6, 12, { preemption: 'unknown' }), 'auto', 'join'],
  ['return, session that runs out of instances', returns, kernel(6, 13, { preemption: 'full' }), 'auto', 'join'],
  ['return, session on a shadow stack', returns, kernel(6, 14, { preemption: 'full' }), 'auto', 'kprobe.session'],
  ['return, lazy preemption on 7.3', returns, lazy73, 'auto', 'kprobe.session'],
  ['return, lazy without fprobe', returns, { ...lazy73, fprobe: false }, 'auto', 'join'],
  ['return, a text in user memory', userText, v612, 'auto', 'fexit'],
  ['return, a text in user memory, 7.3', userText, lazy73, 'auto', 'kprobe.session'],
  ['return, numbers of a system call', userNumber, v612, 'auto', 'fexit'],
  ['return, a text of the kernel', kernelText, v612, 'auto', 'fexit'],
  ['return, fexit wanted under full preemption', returns, full612, 'fexit', 'fexit'],
  ['return, session wanted', returns, v612, 'kprobe.session', 'kprobe.session'],
  ['return, session wanted before 6.10', returns, kernel(6, 9), 'kprobe.session', 'join'],
  ['return, session wanted without fprobe', returns, { ...v612, fprobe: false }, 'kprobe.session', 'join'],
  ['return, join wanted', returns, v612, 'join', 'join'],
  ['return, kprobe wanted', returns, v612, 'kprobe', 'join'],
  ['return, kprobe.multi wanted: auto decides', returns, v612, 'kprobe.multi', 'fexit'],
]

for (const [what, hook, facts, wanted, mode] of MODES) {
  test(`plan: ${what} → ${mode}`, () => assert.equal(chooseMode(hook, facts, wanted), mode))
}

for (const [call, syscall, arch, symbol] of [
  ['security_file_permission', false, 'x64', 'security_file_permission'],
  ['sys_openat', true, 'x64', '__x64_sys_openat'],
  ['sys_openat', true, 'arm64', '__arm64_sys_openat'],
  ['__x64_sys_openat', true, 'x64', '__x64_sys_openat'],
  ['__ia32_sys_openat', true, 'x64', '__ia32_sys_openat'],
  ['__x64_sys_openat', false, 'x64', '__x64_sys_openat'],
] as const) {
  test(`plan: ${call} with syscall ${syscall} is ${symbol} on ${arch}`, () =>
    assert.equal(symbolOf(spec({ call, syscall }), arch), symbol))
}

const TYPES: ReadonlyArray<readonly [type: string, fits: string[], not: string[]]> = [
  [
    'file',
    ['struct file *', 'const struct file *', 'struct file *const'],
    ['struct path *', 'struct file', 'struct file **', 'void *', 'int'],
  ],
  ['path', ['struct path *', 'const struct path *'], ['struct file *', 'char *']],
  [
    'string',
    ['char *', 'const char *', 'unsigned char *', 'signed char *const'],
    ['char', 'char **', 'void *', 'int *'],
  ],
  [
    'int',
    ['int', 'unsigned int', 'long', 'bool', 'unsigned short', 'enum x'],
    ['int *', 'void', 'struct file *', 'struct s', 'double', '...', 'int (*)(void *)'],
  ],
  ['uint32', ['unsigned int', 'int'], ['void *', 'union u', 'float']],
  ['size_t', ['unsigned long'], ['const struct s', 'char *']],
  ['uint64', ['unsigned long long', 'long'], ['void']],
  ['nop', ['int', 'void *', 'struct s', '...'], []],
]

for (const [type, fits, not] of TYPES) {
  test(`plan: a value of the policy's type ${type} is read from what it fits, and from nothing else`, () => {
    for (const base of fits) assert.match(base, typeOf(type).parameter)
    for (const base of not) assert.doesNotMatch(base, typeOf(type).parameter)
  })
}

const param = (type: string, base = type): KernelFunction['params'][number] => ({ name: '', type, base, sizeBytes: 8 })
const FUNCTIONS: Readonly<Record<string, KernelFunction>> = {
  security_file_permission: { returns: 'int', returnsBase: 'int', params: [param('struct file *'), param('int')] },
  security_file_free: { returns: 'void', returnsBase: 'void', params: [param('struct file *')] },
  fd_install: { returns: 'void', returnsBase: 'void', params: [param('unsigned int'), param('struct file *')] },
  __x64_sys_openat: { returns: 'long', returnsBase: 'long', params: [param('const struct pt_regs *')] },
}
const symbols: Symbols = {
  functionType: (name) => (Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined),
  functionNames: () => Object.keys(FUNCTIONS),
}

function policy(...hooks: KprobeSpec[]): Policy {
  return { name: 'p', file: 'p.yaml', hooks }
}

function counter(): () => number {
  let id = 0
  return () => ++id
}

function planned(...args: Parameters<typeof planPolicy>): readonly PlannedObject[] {
  return planPolicy(...args).objects
}

const BAD: ReadonlyArray<readonly [what: string, KprobeSpec, message: RegExp]> = [
  [
    'an unknown function with a similar name',
    spec({ call: 'security_file_permision' }),
    /^p\.yaml:3:5: no kernel function "security_file_permision": did you mean security_file_permission\?$/,
  ],
  [
    'an unknown function without a similar name',
    spec({ call: 'nothing_like_it' }),
    /^p\.yaml:3:5: no kernel function "nothing_like_it": see \/proc\/kallsyms/,
  ],
  [
    'an unknown system call',
    spec({ call: 'sys_opnat', syscall: true }),
    /^p\.yaml:3:5: no kernel function "sys_opnat" \(looked for __x64_sys_opnat; .*syscall: false\): did you mean sys_openat\?$/,
  ],
  [
    'a function configured as a system call',
    spec({ call: 'fd_install', syscall: true }),
    /looked for __x64_fd_install; a function that is not a system call needs syscall: false/,
  ],
  [
    'a required function in addition to an optional one',
    spec({ call: 'nothing_like_it', args: [arg(0, 'int')] }),
    /^p\.yaml:3:5: no kernel function "nothing_like_it"/,
  ],
  [
    'a wrong type of an optional function that exists',
    spec({ optional: true, args: [arg(0, 'path')] }),
    /type "path" does not fit/,
  ],
  ['an object’s own property is no function', spec({ call: 'constructor' }), /no kernel function "constructor"/],
  [
    'a wrong type',
    spec({ args: [arg(0, 'path')] }),
    /^p\.yaml:10:9: argument 0 of security_file_permission: type "path" does not fit, the kernel's is "struct file \*"$/,
  ],
  [
    'an index beyond the prototype',
    spec({ args: [arg(2, 'int')] }),
    /^p\.yaml:12:9: argument index 2 of security_file_permission: expected 0 to 1, the function takes 2 arguments$/,
  ],
  ['an index beyond the prototype, even unread', spec({ args: [arg(4, 'nop')] }), /argument index 4/],
  [
    'a return value of a function that has none',
    spec({ call: 'security_file_free', args: [], return: true, returnArg: arg(0, 'int') }),
    /^p\.yaml:10:9: return value of security_file_free: type "int" does not fit, the kernel's is "void"$/,
  ],
]

for (const [what, hook, message] of BAD) {
  test(`plan: refuses ${what}`, () => {
    assert.throws(
      () => planPolicy(policy(spec(), hook), v612, symbols, 'auto', counter()),
      (error) => error instanceof CollectorError && error.code === 'POLICY_REFUSED' && message.test(error.message),
    )
  })
}

test('plan: an optional function that this kernel does not have is skipped, the others are not', () => {
  const gone = spec({ call: 'security_file_permision', optional: true, args: [arg(4, 'path')] })
  const { objects, skipped } = planPolicy(policy(gone, spec(), gone), v612, symbols, 'auto', counter())
  assert.deepEqual(
    objects.map(({ hooks, constants }) => [hooks.map(({ symbol }) => symbol), constants.length]),
    [[['security_file_permission'], HOOK.bytes]],
  )
  const message = 'p.yaml:3:5: no kernel function "security_file_permision": did you mean security_file_permission?'
  assert.deepEqual(skipped, [
    { symbol: 'security_file_permision', message },
    { symbol: 'security_file_permision', message },
  ])
})

test('plan: an optional function that exists is hooked like any other', () => {
  const { objects, skipped } = planPolicy(policy(spec({ optional: true })), v612, symbols, 'auto', counter())
  assert.deepEqual([objects.length, skipped], [1, []])
})

test('plan: a policy of which this kernel has no function at all is refused', () => {
  const calls = ['sys_new', 'sys_old'].map((call) => spec({ call, syscall: true, optional: true }))
  assert.throws(() => planPolicy(policy(...calls), v612, symbols, 'auto', counter()), {
    code: 'POLICY_REFUSED',
    message:
      'p.yaml:3:5: this kernel has no function that the policy hooks: expected one of __x64_sys_new, __x64_sys_old ' +
      '(ignore.callNotFound may skip some of them, not all)',
  })
})

test('plan: a system call’s arguments have no types to compare with', () => {
  const hook = spec({ call: 'sys_openat', syscall: true, args: [arg(1, 'string'), arg(4, 'uint64')] })
  const [object] = planned(policy(hook), v612, symbols, 'auto', counter())
  assert.equal(object?.hooks[0]?.hook.functionName, '__x64_sys_openat')
})

const PROGRAMS: ReadonlyArray<readonly [KernelFacts, AttachMode | 'auto', attach: string[]]> = [
  [v612, 'auto', ['hook_fexit_1:fexit']],
  [full612, 'auto', ['hook_leave_1:kretprobe.multi', 'hook_enter_1:kprobe.multi']],
  [{ ...debian61, preemption: 'full' }, 'auto', ['hook_leave_1:kretprobe', 'hook_enter_1:kprobe']],
  [v612, 'kprobe', ['hook_leave_1:kretprobe', 'hook_enter_1:kprobe']],
  [lazy73, 'auto', ['hook_session_1:kprobe.session']],
]

for (const [facts, wanted, attach] of PROGRAMS) {
  test(`plan: ${facts.release} ${facts.preemption} ${wanted} attaches ${attach.join(', then ')}`, () => {
    const [object] = planned(policy(entry, returns), facts, symbols, wanted, counter())
    const hook = object?.hooks[1]
    assert.deepEqual(
      hook?.attach.map(({ program, kind }) => `${program}:${kind}`),
      attach,
    )
    assert.ok(hook?.attach.every(({ symbol }) => symbol === 'security_file_permission'))
    assert.deepEqual(
      hook?.programs.map(({ name }) => name),
      hook?.attach.map(({ program }) => program),
    )
    assert.ok(
      hook?.programs.every(({ kind, target }) => (kind === 'fexit') === (target === 'security_file_permission')),
    )
  })
}

/** Hooks by way, the attach kinds of their links, as `28 fexit` or `3 join kretprobe kprobe`; in order. */
function ways(objects: readonly PlannedObject[]): string[] {
  const runs: Array<{ way: string; count: number }> = []
  for (const { mode, attach } of objects.flatMap(({ hooks }) => hooks)) {
    const way = [mode, ...attach.map(({ kind }) => kind)].join(' ')
    const last = runs.at(-1)
    if (last?.way === way) last.count++
    else runs.push({ way, count: 1 })
  }
  return runs.map(({ way, count }) => `${count} ${way}`)
}

const FEXIT = 'fexit fexit'
const SESSION = 'kprobe.session kprobe.session'
const JOIN = 'join kretprobe.multi kprobe.multi'
const PLAIN = 'join kretprobe kprobe'

const CROWDS: ReadonlyArray<
  readonly [what: string, KernelFacts, AttachMode | 'auto', on: Partial<Record<AttachKind, number>>, want: string[]]
> = [
  ['fexit up to a number that leaves slots for others', v612, 'auto', {}, [`29 ${FEXIT}`, `11 ${JOIN}`]],
  ['fexit in addition to those of other policies', v612, 'auto', { fexit: 28 }, [`1 ${FEXIT}`, `39 ${JOIN}`]],
  ['a full trampoline', v612, 'fexit', { fexit: Infinity }, [`40 ${JOIN}`]],
  ['no fprobe', debian61, 'auto', { fexit: 20 }, [`9 ${FEXIT}`, `31 ${PLAIN}`]],
  ['joined before 6.14: nothing is shared', full612, 'auto', { 'kretprobe.multi': 100 }, [`40 ${JOIN}`]],
  ['sessions and joined returns share 16 words', lazy73, 'auto', {}, [`8 ${SESSION}`, `32 ${PLAIN}`]],
  ['one word left', lazy73, 'auto', { 'kprobe.session': 7, 'kretprobe.multi': 1 }, [`1 ${JOIN}`, `39 ${PLAIN}`]],
  ['joined returns alone', lazy73, 'join', {}, [`16 ${JOIN}`, `24 ${PLAIN}`]],
  ['fexit, then joined', { ...lazy73, preemption: 'none' }, 'auto', {}, [`29 ${FEXIT}`, `11 ${JOIN}`]],
]

for (const [what, facts, wanted, on, want] of CROWDS) {
  test(`plan: forty hooks on one function: ${what}`, () => {
    const others = (kind: AttachKind, symbol: string): number =>
      symbol === 'security_file_permission' ? (on[kind] ?? 0) : 1000
    const hooks = Array.from({ length: 40 }, () => returns)
    assert.deepEqual(ways(planned(policy(...hooks), facts, symbols, wanted, counter(), others)), want)
  })
}

test('plan: many hooks on one function do not affect another', () => {
  const other = spec({ call: 'fd_install', args: [], return: true, returnArg: arg(0, 'int') })
  const typed: Symbols = {
    ...symbols,
    functionType: () => ({ returns: 'int', returnsBase: 'int', params: [param('struct file *'), param('int')] }),
  }
  const hooks = [...Array.from({ length: 30 }, () => returns), other]
  assert.deepEqual(ways(planned(policy(...hooks), v612, typed, 'auto', counter())), [
    `29 ${FEXIT}`,
    `1 ${JOIN}`,
    `1 ${FEXIT}`,
  ])
})

test('plan: more hooks than slots share several objects, each with slots and filters of its own', () => {
  const count = HOOK_SLOTS * 2 + 1
  const hooks = Array.from({ length: count }, () => onPath(['Prefix', ['/etc/']]))
  const objects = planned(policy(...hooks), v612, symbols, 'auto', counter())
  assert.deepEqual(
    objects.map((object) => object.hooks.length),
    [HOOK_SLOTS, HOOK_SLOTS, 1],
  )
  assert.deepEqual(
    objects.map((object) => object.constants.length / HOOK.bytes),
    [HOOK_SLOTS, HOOK_SLOTS, 1],
  )
  assert.deepEqual(
    objects.map((object) => object.sets.lastFilter),
    [HOOK_SLOTS, HOOK_SLOTS, 1],
  )
  const ids = objects.flatMap((object) => object.hooks.map(({ hook }) => hook.id))
  assert.deepEqual(
    ids,
    Array.from({ length: count }, (_, i) => i + 1),
  )
  assert.deepEqual(
    objects.map(({ hooks: [hook] }) => hook?.attach[0]?.program),
    Array(3).fill('hook_entry_0'),
  )
  for (const { hooks: all, constants } of objects) {
    all.forEach(({ hook }, slot) => assert.equal(constants.readUInt32LE(slot * HOOK.bytes + HOOK.id), hook.id))
  }
})

test('plan: the hook fields of events come from the policy', () => {
  const hook = spec({ message: 'm', tags: ['a', 'b'], args: [arg(0, 'file', 'what'), arg(1, 'int')] })
  const [object] = planned(policy(hook), v612, symbols, 'auto', counter())
  assert.deepEqual(object?.hooks[0]?.hook, {
    id: 1,
    policy: 'p',
    functionName: 'security_file_permission',
    action: 'post',
    returnAction: 'post',
    message: 'm',
    tags: ['a', 'b'],
    labels: ['what', ''],
  })
})
