/** Mistakes in the fields of a hook: each has its line and column, the expected value, and a near name where there is one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import { formatProblem } from '../../../../../config/yaml/problems.ts'

const HEAD = ['apiVersion: ktrail.dev/v1alpha1', 'kind: TracingPolicy', 'metadata: {name: p}', 'spec:', '  kprobes:']
const hook = (...lines: readonly string[]): string =>
  [...HEAD, '  - call: f', '    syscall: false', ...lines.map((line) => `    ${line}`)].join('\n')
const argument = (text: string): string => hook(`args: [${text}]`)
const data = (text: string): string => hook(`data: [${text}]`)
const selector = (text: string): string => hook('args: [{index: 0, type: int}]', 'selectors:', `- ${text}`)
const filter = (text: string, type = 'file'): string =>
  hook(`args: [{index: 0, type: ${type}, sizeArgIndex: 2}]`, 'selectors:', `- matchArgs: [{index: 0, ${text}}]`)
const onData = (text: string): string =>
  hook('data: [{type: string, source: current_task, resolve: comm}]', 'selectors:', `- ${text}`)
const returned = (text: string): string =>
  hook('return: true', 'returnArg: {index: 0, type: int}', 'selectors:', `- matchReturnArgs: [{${text}}]`)

const TYPES = 'unknown file type'
const NAMESPACES = 'unknown value'
const PATHS = 'expected the absolute path of a file or folder, without "." and "..", got'

/** Policies with ¦ in front of the mistake, and the end of the message. */
const ROWS: ReadonlyArray<readonly [marked: string, message: string]> = [
  [filter('operator: FileType, values: [¦regulr]'), `values[0]: ${TYPES} "regulr" (did you mean "regular"?)`],
  [filter('operator: FileType, values: [¦DIR]'), `values[0]: ${TYPES} "DIR" (did you mean "dir"?)`],
  [filter('operator: FileType, values: [¦directory]'), `values[0]: ${TYPES} "directory" (did you mean "dir"?)`],
  [filter('operator: FileType, values: [reg, ¦symlink]'), `${TYPES} "symlink" (did you mean "lnk"?)`],
  [filter('operator: NotFileType, values: [¦S_IFREG]'), `${TYPES} "S_IFREG" (did you mean "reg"?)`],
  [filter('operator: ¦NotFileTyp, values: [reg]'), 'unknown operator "NotFileTyp" (did you mean "NotFileType"?)'],
  [filter('operator: ¦FileKind, values: [reg]'), 'unknown operator "FileKind" (did you mean "FileType"?)'],
  [filter('operator: FileType, values: [reg]', '¦dentri'), 'unknown type "dentri" (did you mean "dentry"?)'],
  [
    filter('operator: ¦FileType, values: [reg]', 'string'),
    'FileType does not apply to an argument of type string; expected one of Equal, NotEqual, In, NotIn, Prefix, NotPrefix, Postfix, NotPostfix, SubString, SubStringIgnCase',
  ],
  [filter('operator: ¦Substring, values: [a]'), 'unknown operator "Substring" (did you mean "SubString"?)'],
  [filter('operator: SubString, values: [¦""]'), 'values[0]: expected a text of at least 1 byte, got ""'],
  [
    filter(`operator: SubString, values: [¦${'a'.repeat(100)}]`),
    'values[0]: expected at most 99 bytes for SubString, got 100',
  ],
  [filter('operator: UnderDir, values: [/a], ¦stiky: true'), 'unknown key "stiky" (did you mean "sticky"?)'],
  [filter('operator: UnderDir, values: [/a], sticky: ¦yes'), 'sticky: expected true or false, got "yes"; write true'],
  [filter('operator: SameFile, values: [/a], ¦sticky: true'), 'sticky: applies only to UnderDir, got SameFile'],
  [filter('operator: ¦UnderDirectory, values: [/a]'), 'unknown operator "UnderDirectory" (did you mean "UnderDir"?)'],
  [filter('operator: ¦UnderDri, values: [/a]'), 'unknown operator "UnderDri" (did you mean "UnderDir"?)'],
  [filter('operator: ¦SameFiles, values: [/a]'), 'unknown operator "SameFiles" (did you mean "SameFile"?)'],
  [filter('operator: UnderDir, values: [¦etc]'), `values[0]: ${PATHS} "etc"`],
  [filter('operator: SameFile, values: [/a, ¦/a/../b]'), `values[1]: ${PATHS} "/a/../b"`],
  [data('{type: string, ¦sorce: current_task, resolve: comm}'), 'unknown key "sorce" (did you mean "source"?)'],
  [
    data('{type: string, source: ¦task, resolve: comm}'),
    'data[0].source: expected current_task or pt_regs, got "task"',
  ],
  [
    data('{type: string, source: ¦pt_reg, resolve: ax}'),
    'data[0].source: expected current_task or pt_regs, got "pt_reg" (did you mean "pt_regs"?)',
  ],
  [
    data('{type: string, source: pt_regs, resolve: ¦raxx}'),
    'data[0].resolve: unknown register "raxx" (did you mean "rax"?)',
  ],
  [
    data('{type: string, source: pt_regs, resolve: ¦accumulator}'),
    'data[0].resolve: unknown register "accumulator"; expected one of x86-64, such as rdi or eax, or of arm64, such as x0 or w1',
  ],
  [
    data('¦{type: string, source: current_task}'),
    'data[0].resolve: missing; expected the path to a member of the task, such as mm.owner.comm',
  ],
  [
    data('{type: string, source: current_task, resolve: ¦""}'),
    'data[0].resolve: expected names of members and numbers of elements, such as mm.owner.comm or numbers[0].nr, got ""',
  ],
  [data('{type: string, source: current_task, ¦reslve: comm}'), 'unknown key "reslve" (did you mean "resolve"?)'],
  [
    data('{type: string, source: current_task, resolve: ¦"a[x]"}'),
    'data[0].resolve: expected names of members and numbers of elements, such as mm.owner.comm or numbers[0].nr, got "a[x]"',
  ],
  [data('{type: ¦strng, source: current_task, resolve: comm}'), 'unknown type "strng" (did you mean "string"?)'],
  [
    argument('{index: 0, type: int, source: ¦current_task}'),
    'source: an item of args is a parameter; move it to data of the hook',
  ],
  [
    onData('¦matchDat: [{index: 0, operator: Equal, values: [a]}]'),
    'unknown key "matchDat" (did you mean "matchData"?)',
  ],
  [
    onData('matchData: [{index: ¦1, operator: Equal, values: [a]}]'),
    "expected an index of the hook's data (0), got 1; add it to data, or correct it",
  ],
  [
    onData('matchData: [{index: 0, operator: ¦Prefx, values: [a]}]'),
    'unknown operator "Prefx" (did you mean "Prefix"?)',
  ],
  [
    onData('matchData: [{index: 0, operator: Equal, values: [¦1]}]'),
    'expected a text, got the number 1; put it in quotes: "1"',
  ],
  [argument('{index: 0, type: ¦charbuf, sizeArgIndex: 2}'), 'unknown type "charbuf" (did you mean "char_buf"?)'],
  [
    argument('{index: 1, type: char_buf, sizeArgIndex: ¦-1}'),
    'sizeArgIndex: expected a whole number from 0 to 5, got the number -1',
  ],
  [argument('{index: 1, type: char_buf, sizeArgIndex: ¦"3"}'), 'got "3"; write it without quotes'],
  [
    argument('{index: 1, type: char_buf, sizeArgIndex: ¦2}'),
    'sizeArgIndex: 2 is the buffer itself: positions count from 1 on, so the parameter after it is 3',
  ],
  [
    argument('{index: 1, type: char_iovec, sizeArgIndex: 3, ¦retunCopy: true}'),
    'unknown key "retunCopy" (did you mean "returnCopy"?)',
  ],
  [
    argument('{index: 1, type: char_buf, ¦maxDta: true, sizeArgIndex: 3}'),
    'unknown key "maxDta" (did you mean "maxData"?)',
  ],
  [
    filter(`operator: Equal, values: [¦${'a'.repeat(4095)}]`, 'char_buf'),
    'values[0]: expected at most 4094 bytes for Equal, got 4095',
  ],
  [
    selector('matchNamespaces: [{namespace: ¦Mount, operator: In, values: [host_ns]}]'),
    `${NAMESPACES} "Mount" (did you mean "Mnt"?)`,
  ],
  [
    selector('matchNamespaces: [{namespace: ¦Nett, operator: In, values: [host_ns]}]'),
    `${NAMESPACES} "Nett" (did you mean "Net"?)`,
  ],
  [
    selector('matchNamespaces: [{namespace: Net, operator: In, values: [¦host]}]'),
    'expected host_ns or the inode number of a namespace, as in /proc/PID/ns, got "host" (did you mean "host_ns"?)',
  ],
  [
    selector('matchNamespaceChanges: [{operator: In, values: [Mnt, ¦network]}]'),
    `${NAMESPACES} "network" (did you mean "Net"?)`,
  ],
  [selector('¦matchNamespacesChanges: [{operator: In, values: [Mnt]}]'), '(did you mean "matchNamespaceChanges"?)'],
  [
    selector('matchCapabilityChanges: [{type: ¦Efective, operator: In, values: [CAP_BPF]}]'),
    'got "Efective" (did you mean "Effective"?)',
  ],
  [
    selector('matchCapabilityChanges: [{operator: In, values: [¦SYS_ADMIN]}]'),
    'got "SYS_ADMIN" (did you mean "CAP_SYS_ADMIN"?)',
  ],
  [
    selector('matchCapabilities: [{operator: In, values: [¦cap_chown]}]'),
    'got "cap_chown" (did you mean "CAP_CHOWN"?)',
  ],
  [
    returned('index: ¦1, operator: Equal, values: ["1"]'),
    'matchReturnArgs[0].index: expected 0, the return value, got 1',
  ],
  [returned('index: 0, operator: ¦Equl, values: ["1"]'), 'unknown operator "Equl" (did you mean "Equal"?)'],
  [
    hook('aggregate: {window: 5s, by: [¦proces, process]}'),
    'expected one of process, file, kind, got "proces" (did you mean "process"?)',
  ],
  [hook('¦agregate: {window: 5s}'), 'unknown key "agregate" (did you mean "aggregate"?)'],
  [hook('¦fileDetail: true'), 'unknown key "fileDetail" (did you mean "fileDetails"?)'],
]

test('mistakes: one problem each, with its place and a hint', () => {
  for (const [marked, message] of ROWS) {
    const before = marked.slice(0, marked.indexOf('¦')).split('\n')
    const at = `p.yaml:${before.length}:${(before.at(-1)?.length ?? 0) + 1}: `
    const result = parsePolicy(marked.replace('¦', ''), 'p.yaml')
    const problems = 'problems' in result ? result.problems.map(formatProblem) : []
    assert.equal(problems.length, 1, `${problems.join('\n')}\nof\n${marked}`)
    const [problem = ''] = problems
    assert.ok(problem.startsWith(`${at}spec.kprobes[0]`), `expected ${at}got ${problem}\nof\n${marked}`)
    assert.ok(problem.endsWith(message), `expected …${message}, got ${problem}`)
  }
})
