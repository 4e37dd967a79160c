import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { typeNamed } from '../../../../config/policy/arguments.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { PolicyResult } from '../../../../config/policy/parse.ts'
import type { KprobeSpec, Policy } from '../../../../config/policy/policy.ts'
import { formatProblem } from '../../../../config/yaml/problems.ts'

const ROOT = join(import.meta.dirname, '../../../..')

function parseFile(path: string): Policy {
  const result = parsePolicy(readFileSync(join(ROOT, path), 'utf8'), path)
  assert.ok('policy' in result, explained(result))
  return result.policy
}

function explained(result: PolicyResult): string {
  return 'problems' in result ? result.problems.map(formatProblem).join('\n') : 'no problem'
}

/** A policy with one hook; `hook` is YAML flow text without braces, on line 6, column 7. */
function withHook(hook: string): string {
  return `apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: p }\nspec:\n  kprobes:\n    - { ${hook} }\n`
}

function hookOf(hook: string): KprobeSpec {
  const result = parsePolicy(withHook(hook), 'p.yaml')
  assert.ok('policy' in result, explained(result))
  const [kprobe] = result.policy.hooks
  assert.ok(kprobe)
  return kprobe
}

function problemsOf(text: string): string[] {
  const result = parsePolicy(text, 'p.yaml')
  return 'problems' in result ? result.problems.map(formatProblem) : []
}

describe('parsePolicy on the sample policy', () => {
  const policy = parseFile('config/policies/optional/file-monitoring.yaml')

  it('is named file-monitoring and hooks four functions, none a system call, two of them in groups', () => {
    assert.equal(policy.name, 'file-monitoring')
    assert.deepEqual(
      policy.hooks.map(({ call, syscall, return: returns, optional }) => [call, syscall, returns, optional]),
      [
        ['security_file_permission', false, true, false],
        ['security_mmap_file', false, true, false],
        ['security_path_truncate', false, true, true],
        ['security_file_truncate', false, true, true],
      ],
    )
    assert.deepEqual(
      policy.groups.map(({ calls }) => calls),
      [['security_path_truncate'], ['security_file_truncate', 'security_path_truncate']],
    )
  })

  it('reads the arguments of the records, and an int return', () => {
    const shape = policy.hooks.map(({ args, returnArg }) => [
      ...args.map((arg) => `${arg.index}:${arg.type.name}`),
      returnArg?.type.name,
    ])
    assert.deepEqual(shape, [
      ['0:file', '1:int', 'int'],
      ['0:file', '1:uint32', '2:nop', 'int'],
      ['0:path', 'int'],
      ['0:file', 'int'],
    ])
  })

  it('filters each on the prefix /etc/ of its path', () => {
    for (const { selectors } of policy.hooks) {
      const filters = selectors.map(({ matchArgs }) =>
        matchArgs.map(({ arg, operator, values }) => ({ arg, operator, values })),
      )
      assert.deepEqual(filters, [[{ arg: 0, operator: 'Prefix', values: ['/etc/'] }]])
    }
  })
})

describe('parsePolicy', () => {
  it('reads the hook of the documentation', () => {
    const [hook] = parseFile('test/fixtures/policies/good/seed.yaml').hooks
    assert.deepEqual(hook, {
      type: 'kprobe',
      action: 'post',
      returnAction: 'post',
      call: 'security_file_permission',
      optional: false,
      syscall: false,
      return: false,
      returnArg: undefined,
      args: [
        { index: 0, type: typeNamed('file'), label: '', at: { line: 11, col: 7 } },
        { index: 1, type: typeNamed('int'), label: '', at: { line: 13, col: 7 } },
      ],
      selectors: [
        {
          matchArgs: [
            { class: 'path', arg: 0, operator: 'Equal', values: ['/etc/passwd'], at: { line: 17, col: 9 } },
            { class: 'number', arg: 1, operator: 'Equal', values: [2n], at: { line: 21, col: 9 } },
          ],
        },
      ],
      message: '',
      tags: [],
      at: { line: 8, col: 5 },
    })
  })

  it('reads every supported field', () => {
    const [open, write, , aliased] = parseFile('test/fixtures/policies/good/everything.yaml').hooks
    assert.deepEqual(
      open?.args.map((arg) => arg.label),
      ['dirfd', '', ''],
    )
    assert.deepEqual([open?.message, open?.tags], ['opened \\"for\\" writing', ['observability.filesystem', 'ab']])
    const filters = open?.selectors.map(({ matchArgs }) =>
      matchArgs.map(({ arg, operator, values }) => ({ arg, operator, values })),
    )
    assert.deepEqual(filters, [
      [
        { arg: 1, operator: 'NotEqual', values: ['/dev/null', '/proc'] },
        { arg: 2, operator: 'Mask', values: [1n, 2n, 64n, -2147483648n] },
      ],
      [],
    ])
    // The index is that of the function's argument; the filter has the position in the list.
    assert.deepEqual(
      write?.selectors[0]?.matchArgs.map(({ arg }) => arg),
      [0, 1],
    )
    assert.deepEqual(write?.selectors[0]?.matchArgs[1]?.values, [18446744073709551615n])
    assert.equal(aliased?.args[0]?.type.name, 'file')
  })

  it('treats a hook as a system call by default, and keeps its name as written', () => {
    assert.equal(hookOf('call: sys_read').syscall, true)
    assert.equal(hookOf('call: __x64_sys_read').call, '__x64_sys_read')
    assert.equal(hookOf('call: fd_install, syscall: false').syscall, false)
  })

  it('treats a call as required unless ignore.callNotFound is true', () => {
    const ways = ['', ', ignore: {}', ', ignore: {callNotFound: false}', ', ignore: {callNotFound: true}']
    assert.deepEqual(
      ways.map((ignore) => hookOf(`call: sys_f${ignore}`).optional),
      [false, false, false, true],
    )
  })

  it('prefers args to index', () => {
    const hook = hookOf(
      'call: sys_f, args: [{index: 3, type: int}, {index: 1, type: int}], selectors: [{matchArgs: [{index: 3, args: [1], operator: Equal, values: ["1"]}]}]',
    )
    assert.equal(hook.selectors[0]?.matchArgs[0]?.arg, 1)
  })

  it('reads JSON too', () => {
    const text = JSON.stringify({
      apiVersion: 'cilium.io/v1alpha1',
      kind: 'TracingPolicy',
      metadata: { name: 'j' },
      spec: { kprobes: [{ call: 'sys_f' }] },
    })
    assert.ok('policy' in parsePolicy(text, 'p.json'))
  })

  it('cuts a message to 256 bytes and a tag to 128, quoted as Go does', () => {
    const hook = hookOf(`call: sys_f, message: "${'a'.repeat(300)}", tags: ["${'b'.repeat(127)}é"]`)
    assert.equal(hook.message, 'a'.repeat(256))
    assert.equal(hook.tags[0], `${'b'.repeat(127)}\\xc3`)
  })

  for (const name of ['a', 'a-b', 'a.b-c.1', '0', 'a'.repeat(253)]) {
    it(`accepts the name ${name.slice(0, 10)}`, () => {
      assert.deepEqual(problemsOf(withHook('call: sys_f').replace('name: p', `name: "${name}"`)), [])
    })
  }

  for (const name of ['', 'A', 'a_b', '-a', 'a-', 'a..b', '.a', 'a b', 'ä', 'a\\n', 'a'.repeat(254)]) {
    it(`refuses the name ${JSON.stringify(name.slice(0, 10))}`, () => {
      const [problem] = problemsOf(withHook('call: sys_f').replace('name: p', `name: "${name}"`))
      assert.match(problem ?? '', /^p\.yaml:3:19: metadata\.name: expected lower-case letters/)
    })
  }

  for (const [name, end] of [
    ['My_Policy a', '"My_Policy a" (did you mean "my-policy-a"?)'],
    ['___', '"___"'],
    ['a..b', '"a..b"'],
  ] as const) {
    it(`suggests a name for ${name}, if one is near`, () => {
      const [problem = ''] = problemsOf(withHook('call: sys_f').replace('name: p', `name: "${name}"`))
      assert.ok(problem.endsWith(`, got ${end}`), problem)
    })
  }
})

const HOOK = 'p.yaml:6:7: spec.kprobes[0]'
const ARGS = 'args: [{index: 0, type: int}]'

/** Flow text of a hook, and the messages without `p.yaml:6:COL: spec.kprobes[0]`. */
const BAD_HOOKS: Array<[name: string, hook: string, ...want: string[]]> = [
  ['no call', 'syscall: false', '.call: missing; expected the name of a kernel function'],
  ['a call that is a number', 'call: 5', '.call: expected a text, got the number 5; put it in quotes: "5"'],
  ['a call that is no name', 'call: "a b"', '.call: expected the name of a kernel function, got "a b"'],
  [
    'a call with a line break',
    'call: "vfs_read\\r"',
    String.raw`.call: expected the name of a kernel function, got "vfs_read\r" (did you mean "vfs_read"?)`,
  ],
  ['a call that is empty', 'call: ""', '.call: expected the name of a kernel function, got ""'],
  ['a call that is nothing', 'call: ', '.call: expected a text, got nothing'],
  ['a call with a path', 'call: ../etc', '.call: expected the name of a kernel function, got "../etc"'],
  ['a list that is not there', 'call: "list:x"', '.call: no list is named "x"; the policy has no lists'],
  [
    'return without returnArg',
    'call: sys_f, return: true',
    '.return: true requires the type of the return value, such as returnArg: {index: 0, type: int}',
  ],
  [
    'a returnArg that is a path',
    'call: sys_f, return: true, returnArg: {index: 0, type: file}',
    '.returnArg.type: type "file" is not supported for a return value by this version of ktrail; expected one of int, sint8, int8, uint8, sint16, int16, uint16, sint32, int32, uint32, sint64, int64, uint64, long, ulong, size_t',
  ],
  [
    'a returnArg without type',
    'call: sys_f, return: true, returnArg: {index: 0}',
    '.returnArg.type: missing; expected one of int, sint8, int8, uint8, sint16, int16, uint16, sint32, int32, uint32, sint64, int64, uint64, long, ulong, size_t',
  ],
  [
    'six arguments',
    'call: sys_f, args: [{index: 0, type: nop}, {index: 1, type: nop}, {index: 2, type: nop}, {index: 3, type: nop}, {index: 4, type: nop}, {index: 0, type: int}]',
    '.args: expected at most 5 items, got 6',
  ],
  [
    'an index of 5',
    'call: sys_f, args: [{index: 5, type: int}]',
    '.args[0].index: expected a whole number from 0 to 4, got the number 5',
  ],
  [
    'a negative index',
    'call: sys_f, args: [{index: -1, type: int}]',
    '.args[0].index: expected a whole number from 0 to 4, got the number -1',
  ],
  [
    'an index in quotes',
    'call: sys_f, args: [{index: "0", type: int}]',
    '.args[0].index: expected a whole number from 0 to 4, got "0"; write it without quotes',
  ],
  [
    'half an index',
    'call: sys_f, args: [{index: 0.5, type: int}]',
    '.args[0].index: expected a whole number from 0 to 4, got the number 0.5',
  ],
  [
    'an argument twice',
    'call: sys_f, args: [{index: 1, type: int}, {index: 1, type: nop}]',
    '.args[1]: index 1 is already used by spec.kprobes[0].args[0]',
  ],
  [
    'an argument without type',
    'call: sys_f, args: [{index: 1}]',
    '.args[0].type: missing; expected one of file, path, fd, dentry, kiocb, linux_binprm, int, sint8, int8, uint8, sint16, int16, uint16, sint32, int32, uint32, sint64, int64, uint64, long, ulong, size_t, string, filename, net_device, char_buf, char_iovec, iov_iter, sock, socket, skb, sockaddr, sockaddr_un, cred, user_namespace, module, load_info, bpf_attr, bpf_prog, bpf_map, perf_event, capability, bpf_cmd, kernel_cap_t, cap_inheritable, cap_permitted, cap_effective, nop',
  ],
  [
    'type auto',
    'call: sys_f, args: [{index: 1, type: auto}]',
    '.args[0].type: type "auto" applies only to fields of tracepoints; expected one of file, path, fd, dentry, kiocb, linux_binprm, int, sint8, int8, uint8, sint16, int16, uint16, sint32, int32, uint32, sint64, int64, uint64, long, ulong, size_t, string, filename, net_device, char_buf, char_iovec, iov_iter, sock, socket, skb, sockaddr, sockaddr_un, cred, user_namespace, module, load_info, bpf_attr, bpf_prog, bpf_map, perf_event, capability, bpf_cmd, kernel_cap_t, cap_inheritable, cap_permitted, cap_effective, nop',
  ],
  [
    'a type that is a list',
    'call: sys_f, args: [{index: 1, type: [int]}]',
    '.args[0].type: expected one of file, path, fd, dentry, kiocb, linux_binprm, int, sint8, int8, uint8, sint16, int16, uint16, sint32, int32, uint32, sint64, int64, uint64, long, ulong, size_t, string, filename, net_device, char_buf, char_iovec, iov_iter, sock, socket, skb, sockaddr, sockaddr_un, cred, user_namespace, module, load_info, bpf_attr, bpf_prog, bpf_map, perf_event, capability, bpf_cmd, kernel_cap_t, cap_inheritable, cap_permitted, cap_effective, nop, got a list',
  ],
  [
    'args that are a mapping',
    'call: sys_f, args: {index: 0}',
    '.args: expected a list, got a mapping; begin each item with "- "',
  ],
  [
    'an argument that is a text',
    'call: sys_f, args: [int]',
    '.args[0]: expected a mapping with index, type, label, resolve, btfType, sizeArgIndex, returnCopy, maxData, source, got "int"',
  ],
  [
    'a label that is a number',
    'call: sys_f, args: [{index: 0, type: int, label: 7}]',
    '.args[0].label: expected a text, got the number 7; put it in quotes: "7"',
  ],
  ['six selectors', 'call: sys_f, selectors: [{}, {}, {}, {}, {}, {}]', '.selectors: expected at most 5 items, got 6'],
  ['selectors that are nothing', 'call: sys_f, selectors: ', '.selectors: expected a list, got nothing'],
  ['a message of one byte', 'call: sys_f, message: a', '.message: expected 2 to 256 bytes, got "a"'],
  ['a tag of one byte', 'call: sys_f, tags: [ok, b]', '.tags[1]: expected 2 to 128 bytes, got "b"'],
  ['seventeen tags', `call: sys_f, tags: [${'ok, '.repeat(16)}ok]`, '.tags: expected at most 16 items, got 17'],
  ['tags that are a text', 'call: sys_f, tags: ok', '.tags: expected a list, got "ok"; write it as a list: ["ok"]'],
]

/** Flow text of one matchArgs entry on a hook with int at 0, file at 1, nop at 2, uint32 at 3. */
const BAD_FILTERS: Array<[name: string, filter: string, ...want: string[]]> = [
  ['no index', 'operator: Equal, values: ["1"]', ".index: missing; expected an index of the hook's args"],
  [
    'an index that the hook does not list',
    'index: 4, operator: Equal, values: ["1"]',
    ".index: expected an index of the hook's args (0, 1, 2, 3), got 4; add it to args, or correct it",
  ],
  [
    'args beyond the list',
    'args: [4], operator: Equal, values: ["1"]',
    '.args[0]: expected a whole number from 0 to 3, got the number 4',
  ],
  ['two args', 'args: [0, 1], operator: Equal, values: ["1"]', '.args: expected at most 1 items, got 2'],
  [
    'no args',
    'args: [], operator: Equal, values: ["1"]',
    ".args: expected one position in the hook's args, got an empty list",
  ],
  [
    'no operator',
    'index: 0, values: ["1"]',
    '.operator: missing; expected one of Equal, NotEqual, In, NotIn, GreaterThan, GT, LessThan, LT, Mask, InMap, NotInMap, InRange, NotInRange',
  ],
  [
    'an operator misspelt',
    'index: 1, operator: prefx, values: ["/"]',
    '.operator: unknown operator "prefx" (did you mean "Prefix"?)',
  ],
  [
    'Mask on a path',
    'index: 1, operator: Mask, values: ["1"]',
    '.operator: Mask does not apply to an argument of type file; expected one of Equal, NotEqual, In, NotIn, Prefix, NotPrefix, Postfix, NotPostfix, SubString, SubStringIgnCase, FileType, NotFileType',
  ],
  [
    'GT on a path',
    'index: 1, operator: GT, values: ["1"]',
    '.operator: GT does not apply to an argument of type file; expected one of Equal, NotEqual, In, NotIn, Prefix, NotPrefix, Postfix, NotPostfix, SubString, SubStringIgnCase, FileType, NotFileType',
  ],
  [
    'Postfix on a number',
    'index: 0, operator: Postfix, values: ["1"]',
    '.operator: Postfix does not apply to an argument of type int; expected one of Equal, NotEqual, In, NotIn, GreaterThan, GT, LessThan, LT, Mask, InMap, NotInMap, InRange, NotInRange',
  ],
  [
    'a filter on nop',
    'index: 2, operator: Equal, values: ["1"]',
    '.operator: an argument of type nop cannot be filtered; give it another type',
  ],
  ['no values', 'index: 0, operator: Equal', '.values: missing; expected a list of texts, such as ["/etc/passwd"]'],
  [
    'values that are empty',
    'index: 0, operator: Equal, values: []',
    '.values: expected at least one value, got an empty list',
  ],
  [
    'values that are a text',
    'index: 0, operator: Equal, values: "1"',
    '.values: expected a list, got "1"; write it as a list: ["1"]',
  ],
  [
    'a value that is true',
    'index: 1, operator: Equal, values: [true]',
    '.values[0]: expected a text, got the word true; put it in quotes: "true"',
  ],
  [
    'a hexadecimal number without quotes',
    'index: 0, operator: Equal, values: [0x10]',
    '.values[0]: expected a text, got the number 0x10; put it in quotes: "0x10"',
  ],
  [
    'a word for a number',
    'index: 0, operator: Equal, values: ["one"]',
    '.values[0]: expected a decimal, 0x hexadecimal, 0 octal or 0b binary number, got "one"',
  ],
  [
    'an octal number with a 9',
    'index: 0, operator: Equal, values: ["09"]',
    '.values[0]: expected a decimal, 0x hexadecimal, 0 octal or 0b binary number, got "09"',
  ],
  [
    '2^31 for an int',
    'index: 0, operator: Equal, values: ["2147483648"]',
    '.values[0]: expected a signed 32-bit number for an argument of type int, got "2147483648", which is out of range',
  ],
  [
    '-1 for a uint32',
    'index: 3, operator: Equal, values: ["-1"]',
    '.values[0]: expected an unsigned 32-bit number for an argument of type uint32, got "-1", which is out of range',
  ],
  [
    'a mask of 0',
    'index: 3, operator: Mask, values: ["0"]',
    '.values[0]: a mask of 0 never matches; expected at least one bit',
  ],
  [
    'an empty text',
    'index: 1, operator: Equal, values: [""]',
    '.values[0]: expected a text of at least 1 byte, got ""',
  ],
  [
    'a text of NULs',
    'index: 1, operator: Equal, values: ["\\0\\0"]',
    '.values[0]: expected a text of at least 1 byte, got "\\u0000\\u0000"',
  ],
  [
    'a NUL inside',
    'index: 1, operator: Equal, values: ["a\\0b"]',
    '.values[0]: a text with NUL never matches a kernel string, got "a\\u0000b"',
  ],
  [
    '4,096 bytes',
    `index: 1, operator: Prefix, values: ["${'a'.repeat(4096)}"]`,
    '.values[0]: expected at most 4095 bytes for Prefix, got 4096',
  ],
  [
    '4,096 bytes in fewer characters',
    `index: 1, operator: Equal, values: ["${'é'.repeat(2048)}"]`,
    '.values[0]: expected at most 4095 bytes for Equal, got 4096',
  ],
  [
    '128 bytes for Postfix',
    `index: 1, operator: NotPostfix, values: ["${'a'.repeat(128)}"]`,
    '.values[0]: expected at most 127 bytes for NotPostfix, got 128',
  ],
  [
    '1025 values',
    `index: 0, operator: In, values: [${'"1",'.repeat(1025)}]`,
    '.values: expected at most 1024 items, got 1025',
  ],
  [
    'half a surrogate pair',
    'index: 1, operator: Equal, values: ["\\ud800"]',
    '.values[0]: expected valid Unicode, got half a surrogate pair in "\\ud800"',
  ],
]

/** Valid filters on the same hook, and their parsed form. */
const GOOD_FILTERS: Array<[name: string, filter: string, arg: number, operator: string, values: unknown[]]> = [
  [
    'bases',
    'index: 0, operator: In, values: ["0x1F", "010", "0o10", "0b11", "-7", "+7", "0"]',
    0,
    'Equal',
    [31n, 8n, 8n, 3n, -7n, 7n, 0n],
  ],
  [
    'bounds of int',
    'index: 0, operator: NotIn, values: ["-2147483648", "2147483647"]',
    0,
    'NotEqual',
    [-2147483648n, 2147483647n],
  ],
  ['bounds of uint32', 'index: 3, operator: Equal, values: ["0xffffffff"]', 3, 'Equal', [4294967295n]],
  ['GT', 'index: 0, operator: GT, values: ["-1"]', 0, 'GreaterThan', [-1n]],
  ['LessThan', 'index: 3, operator: LessThan, values: ["1"]', 3, 'LessThan', [1n]],
  ['duplicates', 'index: 0, operator: Equal, values: ["1", "1"]', 0, 'Equal', [1n, 1n]],
  ['In on a path', 'index: 1, operator: In, values: [/a, /b]', 1, 'Equal', ['/a', '/b']],
  ['NotIn on a path', 'index: 1, operator: NotIn, values: [/a]', 1, 'NotEqual', ['/a']],
  ['4,095 bytes', `index: 1, operator: Prefix, values: ["${'a'.repeat(4095)}"]`, 1, 'Prefix', ['a'.repeat(4095)]],
  [
    '127 bytes for Postfix',
    `index: 1, operator: Postfix, values: ["${'a'.repeat(127)}"]`,
    1,
    'Postfix',
    ['a'.repeat(127)],
  ],
  ['trailing NULs', 'index: 1, operator: Equal, values: ["/bin/sh\\0\\0"]', 1, 'Equal', ['/bin/sh']],
  [
    '1024 values',
    `index: 0, operator: In, values: [${'"1",'.repeat(1024)}]`,
    0,
    'Equal',
    Array.from({ length: 1024 }, () => 1n),
  ],
]

const WITH_FILTER = (filter: string): string =>
  `call: sys_f, args: [{index: 0, type: int}, {index: 1, type: file}, {index: 2, type: nop}, {index: 3, type: uint32}], selectors: [{matchArgs: [{${filter}}]}]`

/** Without file, line and column, which the golden fixtures check. */
function messages(hook: string, prefix: string): string[] {
  return problemsOf(withHook(hook)).map((problem) => problem.replace(/^p\.yaml:6:\d+: /, '').replace(prefix, ''))
}

/** Messages about a filter on a hook without arguments. */
function by(key: string): string[] {
  const hook = `call: sys_f, selectors: [{matchArgs: [{${key}, operator: Equal, values: ["1"]}]}]`
  return messages(hook, 'spec.kprobes[0].selectors[0].matchArgs[0]')
}

describe('parsePolicy refuses a hook with', () => {
  for (const [name, hook, ...want] of BAD_HOOKS) {
    it(name, () => assert.deepEqual(messages(hook, 'spec.kprobes[0]'), want))
  }

  it('six filters in a selector', () => {
    const filters = Array.from({ length: 6 }, () => '{index: 0, operator: Equal, values: ["1"]}').join(', ')
    const hook = `call: sys_f, ${ARGS}, selectors: [{matchArgs: [${filters}]}]`
    assert.deepEqual(messages(hook, 'spec.kprobes[0]'), ['.selectors[0].matchArgs: expected at most 5 items, got 6'])
  })

  it('a filter when it lists no argument', () => {
    assert.deepEqual(by('index: 0'), ['.index: the hook has no args: add one with index 0 and its type'])
    assert.deepEqual(by('args: [0]'), ['.args[0]: the hook has no args; add the argument to it'])
  })

  it('a wrong argument and a filter on it: one message, not two', () => {
    const hook =
      'call: sys_f, args: [{index: 0, type: intt}], selectors: [{matchArgs: [{index: 0, operator: Mask, values: [x]}]}]'
    assert.equal(problemsOf(withHook(hook)).length, 1)
  })

  it('at its position', () => {
    assert.deepEqual(problemsOf(withHook('syscall: false')), [
      `${HOOK}.call: missing; expected the name of a kernel function`,
    ])
  })
})

describe('parsePolicy refuses a filter with', () => {
  for (const [name, filter, ...want] of BAD_FILTERS) {
    it(name, () => assert.deepEqual(messages(WITH_FILTER(filter), 'spec.kprobes[0].selectors[0].matchArgs[0]'), want))
  }
})

/** The smallest and the largest value of each integer type. */
const RANGES: ReadonlyArray<readonly [types: string, min: bigint, max: bigint, words: string]> = [
  ['sint8 int8', -128n, 127n, 'a signed 8-bit'],
  ['uint8', 0n, 255n, 'an unsigned 8-bit'],
  ['sint16 int16', -32768n, 32767n, 'a signed 16-bit'],
  ['uint16', 0n, 65535n, 'an unsigned 16-bit'],
  ['int sint32 int32', -(2n ** 31n), 2n ** 31n - 1n, 'a signed 32-bit'],
  ['uint32', 0n, 2n ** 32n - 1n, 'an unsigned 32-bit'],
  ['sint64 int64 long', -(2n ** 63n), 2n ** 63n - 1n, 'a signed 64-bit'],
  ['uint64 ulong size_t', 0n, 2n ** 64n - 1n, 'an unsigned 64-bit'],
]

describe('parsePolicy checks the range of', () => {
  for (const [types, min, max, words] of RANGES) {
    for (const type of types.split(' ')) {
      it(type, () => {
        const hook = (...values: readonly bigint[]): string =>
          `call: sys_f, return: true, returnArg: {index: 0, type: ${type}}, args: [{index: 0, type: ${type}}], ` +
          `selectors: [{matchArgs: [{index: 0, operator: Equal, values: [${values.map((value) => `"${value}"`).join()}]}]}]`
        const found = hookOf(hook(min, max)).selectors[0]?.matchArgs[0]
        assert.deepEqual([found?.class, found?.values], ['number', [min, max]])
        const prefix = 'spec.kprobes[0].selectors[0].matchArgs[0]'
        const expected = `expected ${words} number for an argument of type ${type}`
        assert.deepEqual(messages(hook(min - 1n, max + 1n), prefix), [
          `.values[0]: ${expected}, got "${min - 1n}", which is out of range`,
          `.values[1]: ${expected}, got "${max + 1n}", which is out of range`,
        ])
      })
    }
  }
})

describe('parsePolicy accepts a filter with', () => {
  for (const [name, filter, arg, operator, values] of GOOD_FILTERS) {
    it(name, () => {
      const found = hookOf(WITH_FILTER(filter)).selectors[0]?.matchArgs[0]
      assert.deepEqual([found?.arg, found?.operator, found?.values], [arg, operator, values])
    })
  }
})
