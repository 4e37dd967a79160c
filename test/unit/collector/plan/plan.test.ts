/** A policy and the facts of a kernel → the attachment of its functions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CollectorError } from '../../../../collector/errors.ts'
import type { KernelFacts } from '../../../../collector/plan/facts.ts'
import { plainParams } from '../../../../collector/plan/functions/trampoline.ts'
import { assign } from '../../../../collector/plan/layout/assign.ts'
import { chooseDenial, chooseMode, planPolicy, symbolOf } from '../../../../collector/plan/plan.ts'
import type { AttachMode, PlannedHook, Symbols } from '../../../../collector/plan/plan.ts'
import type { ArgumentSpec, KprobeSpec, Policy } from '../../../../config/policy/policy.ts'
import type { KernelFunction, KernelParam } from '../../../../native/types.ts'
import { kernel } from '../support/facts.ts'
import { arg, spec, typeOf } from '../support/specs.ts'

const debian61 = kernel(6, 1, { fprobe: false })
const v612 = kernel(6, 12)
const full612 = kernel(6, 12, { preemption: 'full' })
const lazy73 = kernel(7, 3, { preemption: 'lazy' })

const entry = spec()
const returns = spec({ return: true, returnArg: arg(0, 'int') })
const userText = spec({ ...returns, call: 'sys_openat', syscall: true, args: [arg(0, 'string')] })
const userNumber = spec({ ...returns, syscall: true, args: [arg(0, 'int')] })
const member = { ...arg(0, 'int'), resolve: { path: 'f_flags', struct: undefined } }
const kernelText = spec({ ...returns, args: [arg(0, 'string')] })

const sigkill = { last: 'sigkill', signals: [9], reports: true, limit: undefined } as const
const killing = spec({ ...returns, selectors: [{ matchArgs: [] }, { matchArgs: [], actions: sigkill }] })
const monitoring = spec({ ...returns, selectors: [{ matchArgs: [], actions: { ...sigkill, signals: [] } }] })

const MODES: ReadonlyArray<
  readonly [what: string, spec: KprobeSpec, KernelFacts, wanted: AttachMode | 'auto', AttachMode]
> = [
  ['a function that removes a name', { ...returns, call: 'vfs_unlink' }, v612, 'auto', 'fentry'],
  ['the same, fexit wanted', { ...returns, call: 'vfs_rename' }, v612, 'fexit', 'fentry'],
  ['the same without the return value', { ...entry, call: 'vfs_rmdir' }, v612, 'auto', 'kprobe.multi'],
  ['the check before it', { ...returns, call: 'security_path_rename' }, v612, 'auto', 'fexit'],
  ['a function that never returns', { ...userNumber, call: 'sys_exit_group' }, v612, 'auto', 'join'],
  ['the same, fentry wanted', { ...userNumber, call: 'sys_exit_group' }, v612, 'fentry', 'join'],
  ['a function that may wait with a file', { ...returns, call: 'vfs_read' }, v612, 'auto', 'fentry'],
  ['the same on 6.1', { ...returns, call: 'vfs_read' }, debian61, 'auto', 'fentry'],
  ['the same on 5.10', { ...returns, call: 'vfs_read' }, kernel(5, 10), 'auto', 'join'],
  ['the same under full preemption', { ...returns, call: 'vfs_read' }, full612, 'auto', 'join'],
  ['the same from 6.14 on', { ...returns, call: 'vfs_read' }, kernel(6, 14), 'auto', 'kprobe.session'],
  ['the same, with numbers only', { ...returns, call: 'vfs_read', args: [arg(2, 'int')] }, v612, 'auto', 'fexit'],
  ['the same, a member of what it gets', { ...returns, call: 'vfs_read', args: [member] }, v612, 'auto', 'fentry'],
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
  ['return, a text in user memory', userText, v612, 'auto', 'fentry'],
  ['the same, fexit wanted', userText, v612, 'fexit', 'fentry'],
  [
    'return, a text that may be in user memory',
    { ...userText, syscall: false, call: 'do_mount' },
    v612,
    'auto',
    'fentry',
  ],
  ['return, a text in user memory, 7.3', userText, lazy73, 'auto', 'kprobe.session'],
  ['return, numbers of a system call', userNumber, v612, 'auto', 'fexit'],
  ['return, a text of the kernel', kernelText, v612, 'auto', 'fexit'],
  ['return, fexit wanted under full preemption', returns, full612, 'fexit', 'fexit'],
  ['return, session wanted', returns, v612, 'kprobe.session', 'kprobe.session'],
  ['return, session wanted before 6.10', returns, kernel(6, 9), 'kprobe.session', 'join'],
  ['return, session wanted without fprobe', returns, { ...v612, fprobe: false }, 'kprobe.session', 'join'],
  ['return, join wanted', returns, v612, 'join', 'join'],
  ['return, fentry wanted', returns, v612, 'fentry', 'fentry'],
  ['return, fentry wanted on 5.10', returns, kernel(5, 10), 'fentry', 'join'],
  ['return, kprobe wanted', returns, v612, 'kprobe', 'join'],
  ['return and a signal, at the entry', killing, v612, 'auto', 'fentry'],
  ['return and a signal on 7.3', killing, lazy73, 'auto', 'kprobe.session'],
  ['return and a signal, fexit wanted', killing, v612, 'fexit', 'fentry'],
  ['return and a signal, session wanted', killing, v612, 'kprobe.session', 'kprobe.session'],
  ['return and a signal in mode monitor', monitoring, v612, 'auto', 'fexit'],
  ['return, kprobe.multi wanted: auto decides', returns, v612, 'kprobe.multi', 'fexit'],
]

const noOverride = { override: false, errorInjection: false }
const DENIALS: ReadonlyArray<
  readonly [what: string, hook: Partial<KprobeSpec>, KernelFacts, returns: string, want: AttachMode | RegExp]
> = [
  ['a security function', {}, v612, 'int', 'fmod_ret'],
  ['a security function without error injection', {}, { ...v612, ...noOverride }, 'int', 'fmod_ret'],
  ['a security function under preemption', {}, lazy73, 'int', 'fmod_ret'],
  ['a security function, with return', { return: true }, v612, 'int', 'fmod_ret'],
  [
    'a security function, with return on 5.10',
    { return: true },
    kernel(5, 10),
    'int',
    /requires Linux 5.17: remove return/,
  ],
  ['one that returns nothing', {}, v612, 'void', /security_f does not return errors/],
  ['a system call', { syscall: true }, v612, 'long', 'fmod_ret'],
  ['a system call under preemption', { syscall: true }, full612, 'long', 'override'],
  [
    'a system call, preemption unknown',
    { syscall: true },
    kernel(6, 12, { preemption: 'unknown' }),
    'long',
    'override',
  ],
  ['a system call, only fmod_ret', { syscall: true }, { ...full612, override: false }, 'long', 'fmod_ret'],
  ['a system call, only override', { syscall: true }, { ...v612, errorInjection: false }, 'long', 'override'],
  ['a system call, with return on 5.10', { syscall: true, return: true }, kernel(5, 10), 'long', 'override'],
  [
    'a system call, neither',
    { syscall: true },
    { ...v612, ...noOverride },
    'long',
    /Override on system calls requires a kernel with/,
  ],
]

for (const [what, hook, facts, returned, want] of DENIALS) {
  test(`plan: Override of ${what} → ${String(want)}`, () => {
    const chosen = chooseDenial({ call: 'security_f', syscall: false, return: false, ...hook }, facts, {
      returnsBase: returned,
    })
    if ('refused' in chosen) assert.match(chosen.refused, want instanceof RegExp ? want : /^$/)
    else assert.equal(chosen.mode, want)
  })
}

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
  ['sock', ['struct sock *', 'const struct sock *'], ['struct socket *', 'struct sock **', 'struct sock', 'void *']],
  ['socket', ['struct socket *'], ['struct sock *', 'int']],
  ['skb', ['struct sk_buff *', 'const struct sk_buff *'], ['struct skb *', 'struct sk_buff **']],
  ['sockaddr', ['struct sockaddr *', 'struct sockaddr_unsized *'], ['struct sockaddr_in *', 'struct msghdr *']],
  [
    'sockaddr_un',
    ['struct sockaddr *', 'struct sockaddr_un *', 'struct sockaddr_unsized *'],
    ['struct sockaddr_in *', 'struct msghdr *'],
  ],
  ['net_device', ['struct net_device *'], ['struct net *', 'char *']],
  ['fd', ['int', 'unsigned int'], ['struct file *', 'int *']],
  ['dentry', ['struct dentry *', 'const struct dentry *'], ['struct path *', 'struct dentry **', 'void *']],
  ['kiocb', ['struct kiocb *'], ['struct file *']],
  ['linux_binprm', ['struct linux_binprm *', 'const struct linux_binprm *'], ['struct file *']],
  ['filename', ['struct filename *'], ['char *', 'const char *']],
  ['nop', ['int', 'void *', 'struct s', '...'], []],
]

for (const [type, fits, not] of TYPES) {
  test(`plan: a value of type ${type} is read only from parameters that it fits`, () => {
    for (const base of fits) assert.match(base, typeOf(type).parameter)
    for (const base of not) assert.doesNotMatch(base, typeOf(type).parameter)
  })
}

const param = (type: string, base = type): KernelFunction['params'][number] => ({ name: '', type, base, sizeBytes: 8 })
const FUNCTIONS: Readonly<Record<string, KernelFunction>> = {
  security_file_permission: { returns: 'int', returnsBase: 'int', params: [param('struct file *'), param('int')] },
  security_file_free: { returns: 'void', returnsBase: 'void', params: [param('struct file *')] },
  fd_install: { returns: 'void', returnsBase: 'void', params: [param('unsigned int'), param('struct file *')] },
  nfsd_write: { returns: 'int', returnsBase: 'int', params: [param('struct file *'), param('int')], module: 'nfsd' },
  __x64_sys_openat: { returns: 'long', returnsBase: 'long', params: [param('const struct pt_regs *')] },
}
const BUFFERS: KernelFunction = {
  returns: 'int',
  returnsBase: 'int',
  params: [param('struct file *'), param('char *'), param('unsigned long')],
}
const symbols: Symbols = {
  functionType: (name) => (Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined),
  functionNames: () => Object.keys(FUNCTIONS),
  tracepoints: { format: () => undefined, names: () => [] },
  generated: () => [],
  loadOf: (module) => `${module}#7`,
  memberOf: () => undefined,
}

function policy(...hooks: KprobeSpec[]): Policy {
  return { name: 'p', file: 'p.yaml', hooks, groups: [] }
}

function counter(): () => number {
  let id = 0
  return () => ++id
}

function planned(...args: Parameters<typeof planPolicy>): readonly PlannedHook[] {
  return planPolicy(...args).hooks
}

test('plan: the length of a Unix socket’s address is the next parameter, if the kernel names it so', () => {
  const address = param('struct sockaddr *')
  const lengths = [
    ['security_socket_connect', 'addrlen', false],
    ['unix_find_bsd', 'type', false],
    ['sys_connect', '', true],
  ] as const
  const found = lengths.map(([call, name, syscall]) => {
    const functionType: Symbols['functionType'] = () => ({
      returns: 'int',
      returnsBase: 'int',
      params: [address, address, { ...param('int'), name }],
    })
    const hook = spec({ call, syscall, args: [arg(1, 'sockaddr_un')] })
    return planned(policy(hook), v612, { ...symbols, functionType }, 'auto', counter())[0]?.spec.args[0]?.size?.param
  })
  assert.deepEqual(found, [2, undefined, 2])
})

const notes = {
  last: 'notifyenforcer',
  signals: [],
  reports: true,
  limit: undefined,
  notify: { error: -1, signal: 0 },
} as const
const enforces = { last: 'nopost', signals: [], reports: false, limit: undefined, enforces: { denies: true } } as const

test('plan: the hooks of a policy with an enforcer have its number, each policy its own', () => {
  const pair = [
    spec({ selectors: [{ matchArgs: [], actions: notes }] }),
    spec({ args: [], selectors: [{ matchArgs: [], actions: enforces }] }),
  ] as const
  const next = counter()
  const [one, two] = [0, 1].map(() => planPolicy(policy(...pair), v612, symbols, 'auto', next).hooks)
  assert.deepEqual(
    one?.map(({ way }) => way.mode),
    ['kprobe.multi', 'fmod_ret'],
  )
  const numbers = [one, two].map((hooks) => new Set(hooks?.map(({ spec: { enforcer } }) => enforcer)))
  assert.deepEqual(
    numbers.map(({ size }) => size),
    [1, 1],
  )
  assert.equal(new Set(numbers.flatMap((each) => [...each])).size, 2)
  assert.ok(
    planPolicy(policy(spec()), v612, symbols, 'auto', next).hooks.every((hook) => hook.spec.enforcer === undefined),
  )
})

test('plan: an enforcer is refused if this kernel cannot make its call fail, with the name of the call', () => {
  const call = spec({ call: 'sys_openat', syscall: true, args: [], selectors: [{ matchArgs: [], actions: enforces }] })
  assert.throws(() => planPolicy(policy(call), { ...v612, ...noOverride }, symbols, 'auto', counter()), {
    message:
      /^p\.yaml:3:5: enforcers: sys_openat: Override on system calls requires a kernel with CONFIG_BPF_KPROBE_OVERRIDE/,
  })
  const signals = spec({
    ...call,
    selectors: [{ matchArgs: [], actions: { ...enforces, enforces: { denies: false } } }],
  })
  const [hook] = planPolicy(policy(signals), { ...v612, ...noOverride }, symbols, 'auto', counter()).hooks
  assert.equal(hook?.way.mode, 'kprobe.multi')
})

test('plan: a hook with Override is attached as its action requires, whatever the configured mode', () => {
  const error = { last: 'override', signals: [], error: -1, reports: true, limit: undefined } as const
  const denying = spec({ ...returns, selectors: [{ matchArgs: [], actions: error }] })
  const [hook] = planned(policy(denying), full612, symbols, 'kprobe', counter())
  assert.deepEqual(hook?.way, { mode: 'fmod_ret', multi: false, plain: 3, returns: true })
  assert.throws(() => planned(policy(denying), kernel(5, 10), symbols, 'auto', counter()), {
    code: 'POLICY_REFUSED',
    message: /^p\.yaml:3:5: action Override: return with Override requires Linux 5\.17/,
  })
})

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
    /^p\.yaml:3:5: no kernel function "sys_opnat" \(searched for __x64_sys_opnat; .*syscall: false\): did you mean sys_openat\?$/,
  ],
  [
    'a function configured as a system call',
    spec({ call: 'fd_install', syscall: true }),
    /searched for __x64_fd_install; for a kernel function, add syscall: false/,
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
    /^p\.yaml:12:9: argument index 2 of security_file_permission: expected 0 to 1, because the function has 2 arguments$/,
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

const traced = (type: 'tracepoint' | 'rawTracepoint', index: number): Policy =>
  policy(spec({ type, call: 'sched:sched_process_exec', args: [arg(index, 'int', 'which')] }))
const tracing: Symbols = {
  ...symbols,
  functionType: (name) =>
    name === 'btf_trace_sched_process_exec'
      ? { returns: 'void', returnsBase: 'void', params: [param('void *'), param('int'), param('int')] }
      : undefined,
  tracepoints: {
    format: () => [4, 8, 12].map((offset) => ({ name: 'n', type: 'int', offset, bytes: 4, signed: true })),
    names: () => [],
  },
}

test('plan: a tracepoint has its fields as parameters, whatever the configured mode, and its events have both names', () => {
  const [hook] = planned(traced('tracepoint', 2), v612, tracing, 'fexit', counter())
  assert.deepEqual(hook?.way, {
    mode: 'tracepoint',
    multi: false,
    fields: [{ offset: 12, bytes: 4, kind: 'signed' }],
  })
  assert.deepEqual(
    [hook.symbol, hook.load, hook.hook.type, hook.hook.functionName, hook.hook.indexes, hook.hook.labels],
    ['sched:sched_process_exec', '', 'process_tracepoint', 'sched:sched_process_exec', [2], ['which']],
  )
  assert.equal(hook.spec.args[0]?.index, 0)
})

test('plan: a raw tracepoint has its arguments as fields, on kernels whose raw tracepoints cannot interrupt themselves', () => {
  const [hook] = planned(traced('rawTracepoint', 1), kernel(6, 1), tracing, 'auto', counter())
  assert.deepEqual(hook?.way, {
    mode: 'raw_tracepoint',
    multi: false,
    fields: [{ offset: 8, bytes: 8, kind: 'unsigned' }],
  })
  assert.throws(() => planned(traced('rawTracepoint', 1), kernel(5, 15), tracing, 'auto', counter()), {
    code: 'POLICY_REFUSED',
    message: /^p\.yaml:3:5: raw: true requires Linux 6\.1 /,
  })
  assert.throws(() => planned(traced('rawTracepoint', 4), v612, tracing, 'auto', counter()), {
    code: 'POLICY_REFUSED',
    message:
      /^p\.yaml:14:9: argument index 4 of raw tracepoint sched:sched_process_exec: it has 2 arguments: int, int$/,
  })
})

test('plan: hooks on one tracepoint share a program when they read the same fields', () => {
  const plan = (index: number): readonly PlannedHook[] =>
    planned(traced('tracepoint', index), v612, tracing, 'auto', counter())
  const changed = assign(new Map(), new Set(), [...plan(0), ...plan(1), ...plan(1)], new Set())
  assert.deepEqual(
    changed.map(({ hooks }) => hooks.length),
    [1, 2],
  )
})

const fromRegister = (register: string, type = 'uint64'): ArgumentSpec => ({
  ...arg(5, type),
  source: 'pt_regs',
  register,
})
const withData = (data: readonly ArgumentSpec[], change: Partial<KprobeSpec> = {}): Policy =>
  policy(spec({ args: [arg(0, 'file'), ...data], ...change }))

test('plan: a hook that reads registers is a kprobe of its own, and its registers replace unread parameters', () => {
  const data = [fromRegister('edi', 'int'), fromRegister('r15'), fromRegister('edi', 'uint8')]
  const [hook] = planned(withData(data), v612, symbols, 'fexit', counter())
  const none = { offset: 0, bytes: 0, kind: 'unsigned' }
  const read = [none, none, none, { ...none, bytes: 8 }, { ...none, offset: 14 * 8, bytes: 4 }]
  assert.deepEqual(hook?.way, { mode: 'kprobe', multi: false, plain: 0b11, fields: read })
  assert.deepEqual(
    hook.spec.args.map(({ index, type }) => [index, type.name]),
    [
      [0, 'file'],
      [4, 'int'],
      [3, 'uint64'],
      [4, 'uint8'],
    ],
  )
  assert.deepEqual([hook.hook.indexes, hook.hook.dataLabels], [[0], ['', '', '']])
  const [returning] = planned(withData(data, { return: true }), v612, symbols, 'auto', counter())
  assert.deepEqual([returning?.way.mode, returning?.way.multi], ['join', false])
  const [plain] = planned(withData([]), v612, symbols, 'auto', counter())
  assert.deepEqual([plain?.way.mode, plain?.way.fields], ['kprobe.multi', undefined])
})

test('plan: hooks on one function share a program when they read the same registers', () => {
  const plan = (...data: string[]): readonly PlannedHook[] =>
    planned(withData(data.map((name) => fromRegister(name))), v612, symbols, 'kprobe', counter())
  const hooks = [...plan('rdi'), ...plan('edi'), ...plan('rdi'), ...plan(), ...plan('rdi', 'rsi')]
  const changed = assign(new Map(), new Set(), hooks, new Set())
  assert.deepEqual(
    changed.map((each) => each.hooks.length),
    [2, 1, 1, 1],
  )
})

test('plan: the address of a Unix socket in a register has no length, since no parameter is known to stand behind it', () => {
  const connect = spec({ call: 'sys_openat', syscall: true, args: [fromRegister('rsi', 'sockaddr_un')] })
  const [hook] = planned(policy(connect), v612, symbols, 'auto', counter())
  assert.deepEqual([hook?.spec.args[0]?.index, hook?.spec.args[0]?.size], [4, undefined])
})

test('plan: registers must exist on the processor, and their number is bounded', () => {
  const arm64 = { ...v612, arch: 'arm64' } as const
  const [hook] = planned(withData([fromRegister('w3'), fromRegister('sp')]), arm64, symbols, 'auto', counter())
  assert.deepEqual(
    hook?.way.fields?.map(({ offset, bytes }) => `${offset}/${bytes}`),
    ['0/0', '0/0', '0/0', '248/8', '24/4'],
  )
  const refused = (machine: KernelFacts, ...names: string[]): string => {
    const sized = { ...arg(1, 'char_buf'), size: { param: 2, read: 'u64', returned: undefined } } as const
    const data = names.map((name) => fromRegister(name))
    try {
      planned(withData([sized, ...data]), machine, { ...symbols, functionType: () => BUFFERS }, 'auto', counter())
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    return 'planned'
  }
  assert.equal(
    refused(arm64, 'rdi'),
    'p.yaml:15:9: data of security_file_permission: this machine, arm64, has no register "rdi"',
  )
  assert.equal(
    refused(v612, 'x0'),
    'p.yaml:15:9: data of security_file_permission: this machine, x86-64, has no register "x0"',
  )
  assert.equal(refused(v612, 'rdi', 'rsi'), 'planned')
  assert.equal(
    refused(v612, 'rdi', 'rsi', 'rdx'),
    'p.yaml:15:9: data of security_file_permission: expected at most 5 registers and parameters; the parameters of sizeArgIndex are included',
  )
})

const lsmHook = (hook: string, change: Partial<KprobeSpec> = {}): KprobeSpec =>
  spec({ type: 'lsm', call: `bpf_lsm_${hook}`, args: [arg(0, 'file')], ...change })
const lsmSymbols: Symbols = {
  ...symbols,
  functionType: (name) =>
    name === 'bpf_lsm_file_open' ? { returns: 'int', returnsBase: 'int', params: [param('struct file *')] } : undefined,
  functionNames: () => ['file_opem', 'bpf_lsm_file_open', 'bpf_lsm_inode_mkdir'],
}

test('plan: a security hook is the function of the BPF LSM, and its events have its name', () => {
  const active = { ...v612, lsms: 'landlock,yama,bpf' }
  const [first] = planned(policy(lsmHook('file_open')), active, lsmSymbols, 'fexit', counter())
  assert.deepEqual(
    [first?.symbol, first?.way.mode, first?.hook.functionName, first?.hook.type],
    ['bpf_lsm_file_open', 'kprobe.multi', 'file_open', 'process_lsm'],
  )
})

const overriding = [
  { matchArgs: [], actions: { last: 'override', error: -13, signals: [], reports: true, limit: undefined } },
] as const

for (const [hook, symbol] of [
  ['file_open', 'security_file_open'],
  ['bprm_check_security', 'security_bprm_check'],
] as const) {
  test(`plan: a security hook whose calls fail is ${symbol}, with the hook's name, whether the BPF LSM is active or not`, () => {
    const functionType: Symbols['functionType'] = (name) =>
      name === symbol ? { returns: 'int', returnsBase: 'int', params: [param('struct file *')] } : undefined
    const [first] = planned(
      policy(lsmHook(hook, { selectors: overriding })),
      v612,
      { ...lsmSymbols, functionType },
      'auto',
      counter(),
    )
    assert.deepEqual(
      [first?.symbol, first?.way.mode, first?.hook.functionName, first?.hook.type],
      [symbol, 'fmod_ret', hook, 'process_lsm'],
    )
  })
}

const LSM_NEEDS = 'p.yaml:3:5: lsmhooks require the BPF LSM: expected bpf in /sys/kernel/security/lsm, got '
const LSM_ELSE = '; add it to the kernel parameter lsm=, or hook security_NAME with kprobes'

for (const [what, hook, lsms, message] of [
  ['a kernel without the BPF LSM', lsmHook('file_open'), 'landlock,bpfx', `${LSM_NEEDS}landlock,bpfx${LSM_ELSE}`],
  [
    'a kernel that does not show its modules',
    lsmHook('file_open'),
    '',
    `${LSM_NEEDS}nothing there (is securityfs mounted?)${LSM_ELSE}`,
  ],
  [
    'a security hook misspelt',
    lsmHook('file_opem'),
    'bpf',
    'p.yaml:3:5: no security hook "file_opem" in this kernel: did you mean file_open?',
  ],
  [
    'no security hook',
    lsmHook('nothing_like_it_at_all'),
    'bpf',
    'p.yaml:3:5: no security hook "nothing_like_it_at_all" in this kernel: see include/linux/lsm_hook_defs.h of the kernel for the names',
  ],
  [
    'a security hook that only the BPF LSM has a function for, with Override',
    lsmHook('file_open', { selectors: overriding }),
    '',
    'p.yaml:3:5: no kernel function "security_file_open", which is required to make calls of this security hook fail',
  ],
  [
    'an argument of a security hook beyond its prototype',
    lsmHook('file_open', { args: [arg(1, 'int')] }),
    'bpf',
    'p.yaml:11:9: argument index 1 of bpf_lsm_file_open: expected 0 to 0, because the function has 1 argument',
  ],
  [
    'an argument of a security hook of another type',
    lsmHook('file_open', { args: [arg(0, 'path')] }),
    'bpf',
    'p.yaml:10:9: argument 0 of bpf_lsm_file_open: type "path" does not fit, the kernel\'s is "struct file *"',
  ],
] as const) {
  test(`plan: refuses ${what}`, () => {
    assert.throws(() => planPolicy(policy(hook), { ...v612, lsms }, lsmSymbols, 'auto', counter()), { message })
  })
}

test('plan: an optional function that this kernel does not have is skipped, the others are not', () => {
  const gone = spec({ call: 'security_file_permision', optional: true, args: [arg(4, 'path')] })
  const { hooks, skipped } = planPolicy(policy(gone, spec(), gone), v612, symbols, 'auto', counter())
  assert.deepEqual(
    hooks.map(({ symbol, hook }) => [symbol, hook.id]),
    [['security_file_permission', 1]],
  )
  const message = 'p.yaml:3:5: no kernel function "security_file_permision": did you mean security_file_permission?'
  assert.deepEqual(skipped, [
    { symbol: 'security_file_permision', message },
    { symbol: 'security_file_permision', message },
  ])
})

test('plan: an optional function that exists is hooked like any other', () => {
  const { hooks, skipped } = planPolicy(policy(spec({ optional: true })), v612, symbols, 'auto', counter())
  assert.deepEqual([hooks.length, skipped], [1, []])
})

const GROUPS: ReadonlyArray<
  readonly [there: string, groups: ReadonlyArray<string>, hooked: string, skipped: string, lacking: string]
> = [
  ['new old', ['new old'], 'new', '', ''],
  ['new old', ['old new'], 'old', '', ''],
  ['old', ['new old'], 'old', '', ''],
  ['new old', ['old', 'new old'], 'new old', '', ''],
  ['old', ['old', 'new old'], 'old', '', ''],
  ['new', ['old', 'new old'], 'new', 'old', 'old'],
  ['', ['new old'], '', 'new old', 'new, old'],
  ['new', [], 'new', 'old', ''],
]

for (const [there, groups, hooked, skipped, lacking] of GROUPS) {
  test(`plan: a kernel with "${there}" and groups ${JSON.stringify(groups)} hooks "${hooked}", lacks "${lacking}"`, () => {
    const calls = ['new', 'old'].map((call) => spec({ call, optional: true }))
    const has = new Set(['security_file_permission', ...there.split(' ')])
    const plan = planPolicy(
      {
        ...policy(spec(), ...calls),
        groups: groups.map((each) => ({ name: 'it', calls: each.split(' '), at: { line: 1, col: 1 } })),
      },
      v612,
      { ...symbols, functionType: (name) => (has.has(name) ? FUNCTIONS['security_file_permission'] : undefined) },
      'auto',
      counter(),
    )
    const names = (list: ReadonlyArray<{ readonly symbol: string }>): string =>
      list.map(({ symbol }) => symbol).join(' ')
    assert.deepEqual([names(plan.hooks.slice(1)), names(plan.skipped)], [hooked, skipped])
    assert.deepEqual(
      plan.lacking,
      lacking === '' ? [] : [`this kernel has none of ${lacking}, so the policy does not see it`],
    )
  })
}

test('plan: a policy without any function of this kernel has no hook', () => {
  const calls = ['sys_new', 'sys_old'].map((call) => spec({ call, syscall: true, optional: true }))
  const { hooks, skipped } = planPolicy(policy(...calls), v612, symbols, 'auto', counter())
  assert.deepEqual([hooks, skipped.map(({ symbol }) => symbol)], [[], ['__x64_sys_new', '__x64_sys_old']])
})

test('plan: a function of a module is hooked by kprobes, which do not hold the module', () => {
  const hooks = planned(
    policy(spec({ call: 'nfsd_write' }), { ...returns, call: 'nfsd_write' }),
    v612,
    symbols,
    'fexit',
    counter(),
  )
  assert.deepEqual(
    hooks.map(({ way, load }) => [way.mode, way.multi, load]),
    [
      ['kprobe', false, 'nfsd#7'],
      ['join', false, 'nfsd#7'],
    ],
  )
})

test('plan: a system call’s arguments have no types to compare with', () => {
  const hook = spec({ call: 'sys_openat', syscall: true, args: [arg(1, 'string'), arg(4, 'uint64')] })
  const [first] = planned(policy(hook), v612, symbols, 'auto', counter())
  assert.deepEqual([first?.symbol, first?.hook.functionName], ['__x64_sys_openat', '__x64_sys_openat'])
})

const WAYS: ReadonlyArray<
  readonly [KernelFacts, AttachMode | 'auto', entry: [AttachMode, boolean], returns: [AttachMode, boolean]]
> = [
  [v612, 'auto', ['kprobe.multi', true], ['fexit', true]],
  [full612, 'auto', ['kprobe.multi', true], ['join', true]],
  [debian61, 'auto', ['kprobe', false], ['fexit', false]],
  [{ ...debian61, preemption: 'full' }, 'auto', ['kprobe', false], ['join', false]],
  [v612, 'kprobe', ['kprobe', false], ['join', false]],
  [lazy73, 'auto', ['kprobe.multi', true], ['kprobe.session', true]],
]

for (const [facts, wanted, ...ways] of WAYS) {
  test(`plan: ${facts.release} ${facts.preemption} ${wanted}, fprobe ${facts.fprobe}: entries by ${ways[0][0]}, returns by ${ways[1][0]}`, () => {
    const hooks = planned(policy(entry, returns), facts, symbols, wanted, counter())
    assert.deepEqual(
      hooks.map(({ way: { mode, multi } }) => [mode, multi]),
      ways,
    )
  })
}

test('plan: any number of hooks on one function are planned alike, each with its id', () => {
  const ids = Array.from({ length: 600 }, (_, i) => i + 1)
  const hooks = planned(policy(...ids.map(() => returns)), v612, symbols, 'auto', counter())
  assert.deepEqual(
    hooks.map(({ hook }) => hook.id),
    ids,
  )
  assert.ok(hooks.every(({ spec: own, way }) => own === returns && way.mode === 'fexit'))
})

test('plan: the hook fields of events come from the policy', () => {
  const hook = spec({ message: 'm', tags: ['a', 'b'], args: [arg(0, 'file', 'what'), arg(1, 'int')] })
  const [first] = planned(policy(hook), v612, symbols, 'auto', counter())
  assert.deepEqual(first?.hook, {
    id: 1,
    policy: 'p',
    functionName: 'security_file_permission',
    action: 'post',
    returnAction: 'post',
    message: 'm',
    tags: ['a', 'b'],
    labels: ['what', ''],
    indexes: [0, 1],
  })
})

const PLAIN: ReadonlyArray<readonly [base: string, sizeBytes: number, plain: boolean]> = [
  ['int', 4, true],
  ['unsigned long', 8, true],
  ['enum kernel_read_file_id', 4, true],
  ['struct file *', 8, true],
  ['struct pt_regs *', 8, true],
  // The verifier has no members of a struct that is only declared.
  ['struct other *', 8, false],
  ['char *', 8, false],
  ['char **', 8, false],
  ['int (*)(struct file *)', 8, false],
  ['unsigned __int128', 16, false],
  ['void', 0, false],
]

test('plan: the parameters that a program in a trampoline loads by itself', () => {
  const params = (...bases: ReadonlyArray<readonly [string, number]>): { params: KernelParam[] } => ({
    params: bases.map(([base, sizeBytes]) => ({ name: 'p', type: base, base, sizeBytes })),
  })
  for (const [base, size, plain] of PLAIN) assert.equal(plainParams(params([base, size])), plain ? 1 : 0, base)
  assert.equal(plainParams(params(['char **', 8], ['int', 4], ['struct file *', 8])), 0b110)
  assert.equal(plainParams(params(['int', 4], ['struct pair', 16], ['int', 4])), 0b001)
  assert.equal(plainParams(params(...Array.from({ length: 7 }, () => ['int', 4] as const))), 0b11111)
})
