/** The constructs of Tetragon's language in one table: each loads, or is refused with its sentence. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const LOADS = 'loads'
const later = (what: string, name: string): string =>
  `Tetragon ${what} "${name}" is not supported by this version of ktrail`

const section = (text: string): string => `spec: {${text}}`
const hook = (text: string): string => section(`kprobes: [{call: f, syscall: false, ${text}}]`)
const selector = (text: string, type = 'int'): string =>
  hook(`args: [{index: 0, type: ${type}}], selectors: [{${text}}]`)
const filter = (type: string, operator: string, ...values: string[]): string =>
  selector(`matchArgs: [{index: 0, operator: ${operator}, values: ${JSON.stringify(values)}}]`, type)
const argument = (text: string): string => hook(`args: [{index: 0, type: int, ${text}}]`)
const ITEM = '{type: int, source: current_task, resolve: pid}'
const data = (text: string): string => hook(`data: [{${text}}]`)
const byIndex = (index: number): string => `{index: ${index}, operator: Equal, values: ["1"]}`
const byPosition = (position: number): string => `{args: [${position}], operator: Equal, values: ["1"]}`
const times = (n: number): string => Array.from({ length: n }, () => byIndex(0)).join()
const byCall = (text: string): string => section(`kprobes: [{call: sys_f, ${text}}]`)
const bytes = (text: string): string => hook(`args: [{index: 1, ${text}}]`)
const traced = (text: string): string => section(`tracepoints: [{subsystem: a, event: b, args: [{index: 5, ${text}}]}]`)
const byBytes = (value: string): string =>
  hook(
    `args: [{index: 1, type: iov_iter}], selectors: [{matchArgs: [{index: 1, operator: Equal, values: [${value}]}]}]`,
  )
const action = (text: string): string => selector(`matchActions: [{action: ${text}}]`)
const list = (text: string): string => section(`lists: [{name: a, ${text}}], kprobes: [{call: "list:a"}]`)

const words = (text: string): string[] => text.split(' ')

const TABLE: ReadonlyArray<readonly [construct: string, policy: string, outcome: string]> = [
  ['kprobes', section('kprobes: [{call: sys_dup}]'), LOADS],
  ['fentries', section('fentries: [{call: sys_dup}]'), LOADS],
  ['tracepoints', section('tracepoints: [{subsystem: a, event: b}]'), LOADS],
  [
    'tracepoints with all that they have',
    section(
      'tracepoints: [{subsystem: a, event: b-c, args: [{index: 42, type: auto}, {index: 4, type: syscall64}, {index: 5, type: data_loc, label: l}], message: text, tags: [tag], selectors: [{matchArgs: [{index: 4, operator: Equal, values: ["1"]}, {args: [2], operator: Prefix, values: [a]}], matchActions: [{action: Sigkill}]}]}]',
    ),
    LOADS,
  ],
  [
    'raw tracepoints',
    section('tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 5, type: file}]}]'),
    LOADS,
  ],
  [
    'a member of a struct in a tracepoint',
    section('tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: string, resolve: comm}]}]'),
    'resolve is not supported for a tracepoint by this version of ktrail',
  ],
  [
    'members of structs in a raw tracepoint, several of one argument',
    section(
      'tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 2, type: file, resolve: file}, {index: 2, type: int, resolve: argc}, {index: 2, type: int, resolve: argc, btfType: other}, {index: 2, type: linux_binprm}]}]',
    ),
    LOADS,
  ],
  [
    'the same member twice',
    section(
      'tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 2, type: int, resolve: argc}, {index: 2, type: int, resolve: argc}]}]',
    ),
    'args[1]: index 2 with this resolve is already used by spec.tracepoints[0].args[0]',
  ],
  [
    'several members of one argument of a function',
    section(
      'kprobes: [{call: security_bprm_check, syscall: false, args: [{index: 0, type: int, resolve: argc}, {index: 0, type: int, resolve: envc}], selectors: [{matchArgs: [{args: [1], operator: Equal, values: ["1"]}]}]}]',
    ),
    LOADS,
  ],
  [
    'a field of a tracepoint without a type',
    section('tracepoints: [{subsystem: a, event: b, args: [{index: 4}]}]'),
    LOADS,
  ],
  [
    'an argument of a raw tracepoint without a type',
    section('tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 4}]}]'),
    'args[0].type: missing; expected one of',
  ],
  [
    'an object in a raw tracepoint',
    section('tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 0, type: module}]}]'),
    'type "module" is not supported for a tracepoint by this version of ktrail; expected one of file,',
  ],
  [
    'a filter by the position in args of a tracepoint',
    section(
      'tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: int}], selectors: [{matchArgs: [{index: 0, operator: Equal, values: ["1"]}]}]}]',
    ),
    LOADS,
  ],
  [
    'a filter by no position in args of a tracepoint',
    section(
      'tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: int}], selectors: [{matchArgs: [{index: 1, operator: Equal, values: ["1"]}]}]}]',
    ),
    "expected an index of the hook's args (4), got 1",
  ],
  [
    'a list of system calls as a value',
    section(
      'lists: [{name: a, type: syscalls, values: [sys_dup, sys_newuname]}], tracepoints: [{subsystem: raw_syscalls, event: sys_enter, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: NotInMap, values: ["list:a", "7:9"]}]}]}]',
    ),
    LOADS,
  ],
  [
    'a list that is not there as a value',
    section(
      'lists: [{name: b, type: syscalls, values: [sys_dup]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'no list is named "a"',
  ],
  [
    'a list of functions as a value',
    section(
      'lists: [{name: a, values: [vfs_read]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'expected a list of type syscalls, got "list:a" with "vfs_read"',
  ],
  [
    'a generated list as a value',
    section(
      'lists: [{name: a, type: generated_syscalls}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'expected a list of type syscalls',
  ],
  [
    'a list as a value of another operator',
    section(
      'lists: [{name: a, type: syscalls, values: [sys_dup]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: Equal, values: ["list:a"]}]}]}]',
    ),
    'a list is a value only with InMap or NotInMap',
  ],
  [
    'a list as a value of a small number',
    section(
      'lists: [{name: a, type: syscalls, values: [sys_dup]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: int}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'a list is a value only with InMap or NotInMap',
  ],
  [
    'a list as a value of a number that is no system call',
    section(
      'lists: [{name: a, type: syscalls, values: [sys_dup]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: uint64}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'an argument of type syscall64 of a tracepoint; got type uint64',
  ],
  [
    'a list with an unknown system call as a value',
    section(
      'lists: [{name: a, type: syscalls, values: [sys_frobnicate]}], tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: syscall64}], selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:a"]}]}]}]',
    ),
    'list:a: the number of sys_frobnicate is not known; write the number',
  ],
  [
    'a list as a value in a kprobe',
    selector('matchArgs: [{index: 0, operator: InMap, values: ["list:a"]}]', 'uint64'),
    'a list is a value only with InMap or NotInMap',
  ],
  ['tracepoints without an event', section('tracepoints: [{subsystem: a}]'), 'event: missing; expected a name such as'],
  [
    'tracepoints without a subsystem',
    section('tracepoints: [{event: a}]'),
    'subsystem: missing; expected a name such as',
  ],
  [
    'tracepoints in one word',
    section('tracepoints: [{subsystem: a, event: "a:b"}]'),
    'expected a name such as sched_process_exec, got "a:b"',
  ],
  [
    'tracepoints outside of tracefs',
    section('tracepoints: [{subsystem: "..", event: a}]'),
    'expected a name such as sched, got ".."',
  ],
  [
    'tracepoints with Override',
    section('tracepoints: [{subsystem: a, event: b, selectors: [{matchActions: [{action: Override, argError: -1}]}]}]'),
    'a tracepoint cannot fail',
  ],
  [
    'tracepoints with a return',
    section('tracepoints: [{subsystem: a, event: b, return: true}]'),
    'unknown key "return"; remove it',
  ],
  [
    'a filter on type auto',
    section(
      'tracepoints: [{subsystem: a, event: b, args: [{index: 4, type: auto}], selectors: [{matchArgs: [{index: 4, operator: Equal, values: ["1"]}]}]}]',
    ),
    'an argument of type auto cannot be filtered',
  ],
  [
    'raw tracepoints with more than they have',
    section('tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 6, type: int}]}]'),
    'expected a whole number from 0 to 5',
  ],
  [
    'raw tracepoints with type auto',
    section('tracepoints: [{subsystem: a, event: b, raw: true, args: [{index: 0, type: auto}]}]'),
    'type "auto" applies only to fields of tracepoints',
  ],
  ['lsmhooks', section('lsmhooks: [{hook: file_open}]'), LOADS],
  [
    'lsmhooks with all that they have',
    section(
      'lsmhooks: [{hook: file_open, args: [{index: 0, type: file}], message: text, tags: [tag], selectors: [{matchArgs: [{index: 0, operator: Equal, values: [/a]}], matchActions: [{action: Override, argError: -1}, {action: Sigkill}]}]}]',
    ),
    LOADS,
  ],
  ['lsmhooks with return', section('lsmhooks: [{hook: file_open, return: true}]'), 'unknown key "return"; remove it'],
  [
    'lsmhooks with kprobes',
    section('lsmhooks: [{hook: f}], kprobes: [{call: sys_dup}]'),
    'one hook section per policy',
  ],
  [
    'an lsmhook by its function',
    section('lsmhooks: [{hook: security_file_open}]'),
    'without prefix, got "security_file_open" (did you mean "file_open"?)',
  ],
  [
    'an lsmhook without a name',
    section('lsmhooks: [{args: []}]'),
    'hook: missing; expected the name of a security hook',
  ],
  [
    'an lsmhook that is no name',
    section('lsmhooks: [{hook: "file open"}]'),
    'expected the name of a security hook, such as file_open, got "file open"',
  ],
  ['uprobes', section('uprobes: [{path: /bin/bash}]'), later('field', 'uprobes')],
  ['usdts', section('usdts: [{path: /bin/bash}]'), later('field', 'usdts')],
  ['loader', section('kprobes: [{call: sys_dup}], loader: true'), later('field', 'loader')],
  [
    'killers, as they were called',
    section('kprobes: [{call: sys_dup}], killers: []'),
    'unknown key "killers" (did you mean "enforcers"?)',
  ],
  [
    'rawtracepoints',
    section('kprobes: [{call: sys_dup}], rawtracepoints: []'),
    'write raw: true into an item of tracepoints',
  ],
  ['extractParam', argument('extractParam: a.b'), 'unknown key "extractParam" (did you mean "resolve"?)'],
  [
    'enforcers',
    section(
      'kprobes: [{call: sys_dup, selectors: [{matchActions: [{action: NotifyEnforcer, argError: -1}]}]}], enforcers: [{calls: [sys_dup]}]',
    ),
    LOADS,
  ],
  ...words('podSelector containerSelector hostSelector nodeSelector').map(
    (field) => [field, section(`kprobes: [{call: sys_dup}], ${field}: {}`), LOADS] as const,
  ),
  ['options', section('kprobes: [{call: sys_dup}], options: [{name: policy-mode, value: monitor}]'), LOADS],
  ['a list of functions', list('values: [f]'), LOADS],
  ['a list of system calls', list('type: syscalls, values: [sys_dup]'), LOADS],
  ['a list of all system calls', list('type: generated_syscalls'), LOADS],
  ['a list by a pattern', list('type: generated_ftrace, pattern: "^ksys_*"'), LOADS],
  [
    'macros',
    section('selectorsMacros: {m: {matchPIDs: []}}, kprobes: [{call: sys_dup, selectors: [{macros: [m]}]}]'),
    LOADS,
  ],
  ['message and tags', hook('message: text, tags: [tag]'), LOADS],
  ['return', hook('return: true, returnArg: {index: 0, type: int}'), LOADS],
  [
    'matchReturnArgs',
    hook(
      'return: true, returnArg: {index: 0, type: int}, selectors: [{matchReturnArgs: [{index: 0, operator: LT, values: ["0"]}]}]',
    ),
    LOADS,
  ],
  [
    'matchReturnArgs without return',
    hook('selectors: [{matchReturnArgs: [{index: 0, operator: LT, values: ["0"]}]}]'),
    'matchReturnArgs: the hook does not read the return value; add return: true and returnArg: {index: 0, type: int}',
  ],
  [
    'matchReturnArgs on a text',
    hook(
      'return: true, returnArg: {index: 0, type: int}, selectors: [{matchReturnArgs: [{index: 0, operator: Prefix, values: [a]}]}]',
    ),
    'Prefix does not apply to an argument of type int',
  ],
  [
    'lsmhooks with matchReturnArgs',
    section('lsmhooks: [{hook: file_open, selectors: [{matchReturnArgs: [{index: 0, operator: LT, values: ["0"]}]}]}]'),
    'the hook does not read the return value',
  ],
  ['returnArg without return', hook('returnArg: {index: 0, type: int}'), LOADS],
  ['returnArgAction Post', hook('returnArgAction: Post'), LOADS],
  ['returnArgAction TrackSock', hook('returnArgAction: TrackSock'), later('action', 'TrackSock')],
  ['ignore', hook('ignore: {callNotFound: true}'), LOADS],
  ['data, empty', hook('data: []'), LOADS],
  ['data', data('type: string, source: current_task, resolve: comm, label: a'), LOADS],
  ['data with an index', data('index: 0, type: file, source: current_task, resolve: mm.exe_file'), LOADS],
  ['data without a source', data('type: int, resolve: pid'), 'source: missing; expected current_task or pt_regs'],
  ['data without resolve', data('type: int, source: current_task'), 'resolve: missing; expected the path to a member'],
  [
    'the same call twice',
    section('kprobes: [{call: security_f, syscall: false}, {call: security_f, syscall: false}]'),
    LOADS,
  ],
  ...words('rax eax ax al r8 r15d r9w r10b sil rip rsp x0 w30 sp pc').map(
    (name) => [`data of the register ${name}`, data(`type: int, source: pt_regs, resolve: ${name}`), LOADS] as const,
  ),
  ['data of a register that is a file', data('index: 0, type: file, source: pt_regs, resolve: rdi, label: a'), LOADS],
  ...words('rflags x31 w31 rax.f_path orig_ax 1').map(
    (name) =>
      [
        `data of the register ${name}`,
        data(`type: int, source: pt_regs, resolve: "${name}"`),
        `unknown register "${name}"`,
      ] as const,
  ),
  ['data of no register', data('type: int, source: pt_regs'), 'resolve: missing; expected the name of a register'],
  [
    'data of a register that is a buffer',
    data('type: char_buf, source: pt_regs, resolve: rdi, sizeArgIndex: 2'),
    'resolve is not supported for type char_buf',
  ],
  [
    'data of registers, and Override',
    section(
      'kprobes: [{call: sys_f, data: [{type: int, source: pt_regs, resolve: rdi}], selectors: [{matchActions: [{action: Override, argError: -1}]}]}]',
    ),
    'use two hooks, one with Override and one with data',
  ],
  [
    'data of registers in a security hook',
    section('lsmhooks: [{hook: file_open, data: [{type: int, source: pt_regs, resolve: rdi}]}]'),
    'unknown key "data"',
  ],
  [
    'data of another source',
    data('type: int, source: task, resolve: a'),
    'expected current_task or pt_regs, got "task"',
  ],
  ['a source of an argument', argument('source: current_task'), 'move it to data of the hook'],
  ['a source of nothing', argument('source: ""'), LOADS],
  [
    'too much data',
    hook(`args: [${[0, 1, 2, 3].map((index) => `{index: ${index}, type: int}`).join()}], data: [${ITEM}, ${ITEM}]`),
    'expected at most 5 items of args and data together, got 4 and 2',
  ],
  ['matchData', hook(`data: [${ITEM}], selectors: [{matchData: [${byIndex(0)}]}]`), LOADS],
  ['matchData by position', hook(`data: [${ITEM}], selectors: [{matchData: [${byPosition(0)}]}]`), LOADS],
  [
    'matchData of what is not there',
    hook(`data: [${ITEM}], selectors: [{matchData: [${byIndex(1)}]}]`),
    "expected an index of the hook's data (0), got 1",
  ],
  ['matchData without data', selector(`matchData: [${byIndex(0)}]`), 'the hook has no data: add one'],
  ['matchArgs of data', hook(`data: [${ITEM}], selectors: [{matchArgs: [${byIndex(0)}]}]`), 'the hook has no args'],
  [
    'too many filters in both',
    hook(
      `args: [{index: 0, type: int}], data: [${ITEM}], selectors: [{matchArgs: [${times(3)}], matchData: [${times(3)}]}]`,
    ),
    'expected at most 5 filters in matchArgs and matchData together, got 6',
  ],
  ['label of an argument', argument('label: text'), LOADS],
  ['sizeArgIndex without effect', argument('sizeArgIndex: 3'), LOADS],
  ['a sizeArgIndex beyond all', argument('sizeArgIndex: 6'), 'expected a whole number from 0 to 5, got the number 6'],
  ['a sizeArgIndex that is a text', argument('sizeArgIndex: "1"'), 'write it without quotes'],
  ['returnCopy that is a number', argument('returnCopy: 1'), 'expected true or false, got the number 1'],
  ['char_buf', bytes('type: char_buf, sizeArgIndex: 3'), LOADS],
  ['char_buf of a function that fills it in', bytes('type: char_buf, returnCopy: true'), LOADS],
  ['char_buf without a size', bytes('type: char_buf'), 'sizeArgIndex: missing; expected the position, from 1 on'],
  ['char_buf with a size of none', bytes('type: char_buf, sizeArgIndex: 0'), 'sizeArgIndex: missing'],
  ['char_iovec', bytes('type: char_iovec, sizeArgIndex: 3'), LOADS],
  ['char_iovec of a function that fills it in', bytes('type: char_iovec, sizeArgIndex: 3, returnCopy: true'), LOADS],
  ['char_iovec without a count', bytes('type: char_iovec, returnCopy: true'), 'the number of parts in the array'],
  ['iov_iter', bytes('type: iov_iter'), LOADS],
  ['iov_iter with returnCopy', bytes('type: iov_iter, returnCopy: true'), 'are read at the entry of the call'],
  ['resolve of bytes', bytes('type: iov_iter, resolve: a.b'), 'resolve is not supported for type iov_iter'],
  [
    'returnCopy beside an iov_iter',
    hook('args: [{index: 0, type: iov_iter}, {index: 1, type: char_buf, returnCopy: true}]'),
    'when an iov_iter is consumed',
  ],
  ...['Sigkill', 'Override, argError: -1'].map(
    (acts) =>
      [
        `returnCopy beside ${acts}`,
        byCall(
          `args: [{index: 1, type: char_buf, returnCopy: true}], selectors: [{matchActions: [{action: ${acts}}]}]`,
        ),
        'act at its entry; use two hooks',
      ] as const,
  ),
  [
    'returnCopy of a security hook',
    section('lsmhooks: [{hook: file_open, args: [{index: 0, type: char_buf, returnCopy: true}]}]'),
    'ktrail does not see the return of a security hook',
  ],
  ['bytes of a tracepoint', traced('type: char_buf, sizeArgIndex: 3'), 'type "char_buf" is not supported for'],
  ['a filter on bytes with a NUL', byBytes('"a\\0b"'), LOADS],
  ['a filter on bytes without any', byBytes('""'), 'expected a text of at least 1 byte'],
  ['a filter on too many bytes', byBytes('x'.repeat(4095)), 'expected at most 4094 bytes for Equal, got 4095'],
  ['maxData', bytes('type: char_buf, sizeArgIndex: 3, maxData: true'), LOADS],
  ['maxData of an iov_iter', bytes('type: iov_iter, maxData: true'), LOADS],
  ['maxData without effect', argument('maxData: true'), LOADS],
  ['maxData that is a number', argument('maxData: 1'), 'expected true or false, got the number 1'],
  ...['btfTypeModule'].map(
    (field) => [`${field} of an argument`, argument(`${field}: 1`), later('field', field)] as const,
  ),
  ...words(
    'int sint8 int8 uint8 sint16 int16 uint16 uint32 sint32 int32 ulong uint64 size_t long sint64 int64 string file path nop',
  ).map((type) => [`type ${type}`, selector('', type), LOADS] as const),
  ['type const_buf', selector('', 'const_buf'), later('argument type', 'const_buf')],
  ...words('file.f_path numbers[0].nr [2].a comm').map(
    (path) => [`resolve ${path}`, argument(`resolve: "${path}"`), LOADS] as const,
  ),
  ...['a..b', '.a', 'a[', 'a[x]', 'a->b', '[1234567890]'].map(
    (path) => [`resolve ${path}`, argument(`resolve: "${path}"`), 'expected names of members and numbers of'] as const,
  ),
  ['a deep resolve', argument(`resolve: ${'a.'.repeat(10)}b`), 'expected at most 10 members and elements, got 11'],
  ['btfType', argument('resolve: pid, btfType: task_struct'), LOADS],
  ['btfType with its keyword', argument('resolve: pid, btfType: struct task_struct'), LOADS],
  [
    'a wrong btfType',
    argument('resolve: pid, btfType: "task_struct *"'),
    'expected the name of a struct, such as cred',
  ],
  ['type auto', selector('', 'auto'), 'type "auto" applies only to fields of tracepoints'],
  ['type syscall64', selector('', 'syscall64'), 'type "syscall64" applies only to fields of tracepoints'],
  ...['Equal', 'NotEqual', 'In', 'NotIn', 'GreaterThan', 'GT', 'LessThan', 'LT', 'Mask'].map(
    (operator) => [`${operator} on a number`, filter('int', operator, '1'), LOADS] as const,
  ),
  ...['Equal', 'NotEqual', 'In', 'NotIn', 'Prefix', 'NotPrefix', 'Postfix', 'NotPostfix'].flatMap((operator) =>
    ['file', 'path', 'fd', 'dentry', 'kiocb', 'linux_binprm', 'string', 'filename'].map(
      (type) => [`${operator} on a ${type}`, filter(type, operator, '/a'), LOADS] as const,
    ),
  ),
  ...['FileType', 'NotFileType'].flatMap((operator) =>
    words('file path fd dentry kiocb linux_binprm').map(
      (type) => [`${operator} on a ${type}`, filter(type, operator, 'reg', 'link', 'pipe'), LOADS] as const,
    ),
  ),
  ['FileType on a number', filter('int', 'FileType', 'reg'), 'FileType does not apply to an argument of type int'],
  [
    'FileType on a string',
    filter('string', 'FileType', 'reg'),
    'FileType does not apply to an argument of type string',
  ],
  ['FileType of nothing', filter('file', 'FileType'), 'expected at least one value, got an empty list'],
  ['FileType of another kind', filter('file', 'FileType', 'regula'), '(did you mean "regular"?)'],
  [
    'FileType of a number',
    selector('matchArgs: [{index: 0, operator: FileType, values: [1]}]', 'file'),
    'expected a text',
  ],
  ...['SubString', 'SubStringIgnCase'].flatMap((operator) => [
    ...words('file path fd string filename iov_iter').map(
      (type) => [`${operator} on a ${type}`, filter(type, operator, 'a', 'x'.repeat(99)), LOADS] as const,
    ),
    [`${operator} on a number`, filter('int', operator, 'a'), `${operator} does not apply to an argument`] as const,
    [`${operator} of too much`, filter('file', operator, 'x'.repeat(100)), 'expected at most 99 bytes'] as const,
    [`${operator} of nothing`, filter('file', operator, ''), 'expected a text of at least 1 byte'] as const,
    [
      `${operator} of too many`,
      filter('file', operator, ...Array.from({ length: 101 }, (_, i) => `a${i}`)),
      `expected at most 100 values for ${operator}, got 101`,
    ] as const,
  ]),
  ...words('CapabilitiesGained CelExpr').map(
    (operator) => [operator, filter('int', operator, '1'), later('operator', operator)] as const,
  ),
  ...words(
    'sock socket skb sockaddr sockaddr_un net_device fd dentry kiocb linux_binprm filename bpf_attr perf_event bpf_map user_namespace capability cred load_info module kernel_cap_t cap_inheritable cap_permitted cap_effective bpf_cmd bpf_prog',
  ).map((type) => [`type ${type}`, selector('', type), LOADS] as const),
  ...words('SAddr NotSAddr DAddr NotDAddr').map(
    (operator) => [operator, filter('sock', operator, '10.0.0.0/8', 'fd00::/8'), LOADS] as const,
  ),
  ...words('SPort NotSPort DPort NotDPort').map(
    (operator) => [operator, filter('skb', operator, '80', '8000:8999'), LOADS] as const,
  ),
  ...words('SPortPriv NotSportPriv DPortPriv NotDPortPriv').map(
    (operator) => [operator, filter('socket', operator), LOADS] as const,
  ),
  ['Protocol', filter('skb', 'Protocol', 'IPPROTO_TCP'), LOADS],
  ['Family', filter('sockaddr', 'Family', 'AF_INET'), LOADS],
  ['Family of a sockaddr_un', filter('sockaddr_un', 'Family', 'AF_UNIX'), LOADS],
  ['Prefix of a sockaddr_un', filter('sockaddr_un', 'Prefix', '@name', '/run/'), LOADS],
  ['SAddr of a sockaddr_un', filter('sockaddr_un', 'SAddr', '10.0.0.1'), 'SAddr does not apply to an argument'],
  ['State', filter('sock', 'State', 'TCP_LISTEN'), LOADS],
  ...words('InMap NotInMap InRange NotInRange').map(
    (operator) => [operator, filter('int', operator, '1', '10:20', '-3:0'), LOADS] as const,
  ),
  ['a range of Equal', filter('int', 'Equal', '1:2'), 'binary number, got "1:2"'],
  ['an open range', filter('int', 'InRange', '1:'), 'binary number, got "1:"'],
  ['a range of texts', filter('int', 'InRange', 'a:1'), 'binary number, got "a"'],
  ['a range backwards', filter('int', 'InRange', '2:1'), 'expected the lower number of a range first, got "2:1"'],
  ['a range beyond the type', filter('uint8', 'InMap', '1:256'), 'got "256", which is out of range'],
  [
    'a large range',
    filter('int', 'InRange', '0:1024'),
    'at most 1024 numbers in all ranges of a filter, got more with "0:1024"; use GT and LT',
  ],
  ['large ranges', filter('int', 'InRange', '0:1023', '7'), 'got more with "7"'],
  ['a range of a text', filter('string', 'InRange', '1:2'), 'InRange does not apply to an argument of type string'],
  ['Equal on a net_device', filter('net_device', 'Equal', 'lo'), LOADS],
  ['matchPIDs', selector('matchPIDs: [{operator: In, values: [1], followForks: true, isNamespacePID: true}]'), LOADS],
  ['matchBinaries', selector('matchBinaries: [{operator: Prefix, values: [/a]}]'), LOADS],
  ['matchParentBinaries', selector('matchParentBinaries: [{operator: In, values: [/a]}]'), LOADS],
  ['matchNamespaces', selector('matchNamespaces: [{namespace: Pid, operator: In, values: [host_ns]}]'), LOADS],
  ['matchWorkloads', selector('matchWorkloads: {hostSelector: {}}'), LOADS],
  ['matchCapabilities', selector('matchCapabilities: [{operator: In, values: [CAP_SYS_ADMIN]}]'), LOADS],
  ['label of a selector', selector('label: text'), LOADS],
  ['label of a selector that is a list', selector('label: []'), 'expected a text'],
  ['a long label of a selector', selector(`label: ${'x'.repeat(129)}`), 'expected at most 128 bytes, got 129'],
  ['matchReturnActions', selector('matchReturnActions: []'), later('field', 'matchReturnActions')],
  ['matchNamespaceChanges', selector('matchNamespaceChanges: [{operator: In, values: [Mnt]}]'), LOADS],
  ['matchCapabilityChanges', selector('matchCapabilityChanges: [{operator: In, values: [CAP_SYS_ADMIN]}]'), LOADS],
  ['Post with rateLimit', action('Post, rateLimit: 1m, rateLimitScope: global'), LOADS],
  ['NoPost', action('NoPost'), LOADS],
  ['Sigkill', action('Sigkill'), LOADS],
  ['Signal', action('Signal, argSig: 9'), LOADS],
  ['NotifyEnforcer without enforcers', action('NotifyEnforcer, argSig: 9'), 'the policy has no enforcers'],
  ...words('GetUrl DnsLookup TrackSock UntrackSock Set').map(
    (name) => [name, action(name), later('action', name)] as const,
  ),
]

for (const [construct, policy, outcome] of TABLE) {
  test(`constructs: ${construct}: ${outcome}`, () => {
    const head = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\n'
    const result = parsePolicy(head + policy, 'p.yaml')
    if (outcome === LOADS) return assert.deepEqual('problems' in result ? result.problems : [], [])
    assert.ok('problems' in result)
    assert.equal(result.problems.length, 1)
    assert.ok(result.problems[0]?.message.includes(outcome), result.problems[0]?.message)
  })
}
