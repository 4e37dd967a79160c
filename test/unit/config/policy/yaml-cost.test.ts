/** No policy of an accepted size blocks the event loop for long: it is parsed while the ring is read. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { Problems } from '../../../../config/yaml/problems.ts'
import { parseYaml } from '../../../../config/yaml/yaml.ts'

const BYTES = 256 * 1024 - 16
/** Milliseconds of processor time: at most 36 measured, the rest is for slow machines and code that is not compiled yet. */
const MOST_MS = 250

const repeated = (unit: string, times: number): string => unit.repeat(Math.min(times, Math.floor(BYTES / unit.length)))
const counted = (times: number, line: (i: number) => string): string =>
  Array.from({ length: times }, (_, i) => line(i)).join('')

/** Each at its maximum of bytes, and at most the maximum of tokens. */
const DOCUMENTS: ReadonlyArray<readonly [name: string, text: (times: number) => string]> = [
  ['anchors', (times) => repeated('&a ', times)],
  ['anchored values', (times) => `a:\n${counted(Math.min(times, 16_000), (i) => `- &a${i} x\n`)}`],
  [
    'a hundred aliases of the last of many anchors',
    (times) => `a:\n${counted(Math.min(times, 2_600), (i) => `- &a${i} x\n`)}b: [${'*a2599, '.repeat(99)}*a2599]\n`,
  ],
  [
    'aliases of aliases',
    () => `a0: &a0 [x]\n${counted(9, (i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(10)}x]\n`)}`,
  ],
  ['tags', (times) => repeated('!!x ', times)],
  ['values of a flow list', (times) => `a: [${repeated('x,', times)}x]`],
  ['commas', (times) => `a: [${repeated(',', times)}]`],
  ['mappings of a flow list', (times) => `a: [${repeated('{a: b},', times)}]`],
  ['keys', (times) => counted(Math.min(times, 20_000), (i) => `k${i}: v\n`)],
  ['quotes', (times) => repeated('"', times)],
  ['comments', (times) => `a: b\n${repeated('#\n', times)}`],
  ['documents', (times) => repeated('---\n', times)],
  ['folded lines', () => `a: >\n${repeated('  x\n', BYTES)}`],
  ['plain lines', () => `a: x\n${repeated('  x\n', BYTES)}`],
  ['escapes', () => `a: "${repeated('\\n', BYTES)}"`],
  ['brackets', () => repeated('[', BYTES)],
]

for (const [name, text] of DOCUMENTS) {
  test(`yaml: ${name} in a policy take bounded time`, () => {
    for (const times of [2_600, 5_000, 7_900, BYTES]) {
      const document = text(times)
      const before = process.threadCpuUsage().user
      const result = parsePolicy(document, 'p.yaml')
      const ms = (process.threadCpuUsage().user - before) / 1000
      assert.ok('problems' in result)
      assert.ok(ms < MOST_MS, `${document.length} bytes took ${ms} ms: ${JSON.stringify(result.problems[0])}`)
    }
  })
}

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: p }\nspec:\n'
const filtered = (values: string): string =>
  `${HEAD}  kprobes: [{ call: sys_a, args: [{ index: 0, type: string }], selectors: [{ matchArgs: [{ index: 0, operator: Equal, values: ${values} }] }] }]\n`
const NUMBERS = 'matchArgs: [{ index: 4, operator: InMap, values: ["list:l"] }]'

/** Small policies whose cost could grow faster than their size. */
const GROWING: ReadonlyArray<readonly [name: string, text: string, message: RegExp]> = [
  ['a text of spaces in place of a list', filtered(`"${' '.repeat(60_000)}x"`), /expected a list/],
  ['a text of NULs', filtered(`["${'\\0'.repeat(60_000)}x"]`), /a text with NUL/],
  [
    'a macro that is named often',
    `${HEAD}  selectorsMacros: { m: { matchArgs: [${counted(4, () => `{ index: 0, operator: Prefix, values: [${counted(200, (i) => `a${i},`)}] },`)}] } }\n  kprobes:\n${counted(70, () => `  - { call: sys_f, args: [{ index: 0, type: string }], selectors: [${'{ macros: [m] },'.repeat(5)}] }\n`)}`,
    /expected at most 65536 values of macros at all places/,
  ],
  [
    'a list that is named often in a filter',
    `${HEAD}  lists: [{ name: l, type: syscalls, values: [${'sys_dup,'.repeat(1000)}] }]\n  tracepoints: [{ subsystem: raw_syscalls, event: sys_enter, args: [{ index: 4, type: syscall64 }], selectors: [{ ${NUMBERS.replace('["list:l"]', `[${'"list:l",'.repeat(1000)}]`)} }] }]\n`,
    /expected at most 1024 numbers of all lists of a filter/,
  ],
  [
    'a list that is named by many filters',
    `${HEAD}  lists: [{ name: l, type: syscalls, values: [${'sys_dup,'.repeat(1000)}] }]\n  tracepoints:\n${counted(70, () => `  - { subsystem: raw_syscalls, event: sys_enter, args: [{ index: 4, type: syscall64 }], selectors: [{ ${NUMBERS} }, { ${NUMBERS} }] }\n`)}`,
    /expected at most 65536 functions of lists at all places/,
  ],
  [
    'a group of many calls',
    `${HEAD.replace('name: p', `name: p, annotations: { ktrail.one-of/x: "${'sys_bb,'.repeat(20_000)}" }`)}  kprobes:\n${counted(900, (i) => `  - call: sys_a${i}\n`)}`,
    /expected at most 1024 calls in all groups/,
  ],
]

for (const [name, text, message] of GROWING) {
  test(`yaml: ${name} takes bounded time in a policy`, () => {
    const before = process.threadCpuUsage().user
    const result = parsePolicy(text, 'p.yaml')
    const ms = (process.threadCpuUsage().user - before) / 1000
    assert.ok('problems' in result)
    assert.match(result.problems.map((problem) => problem.message).join('\n'), message)
    assert.ok(ms < MOST_MS, `${text.length} bytes took ${ms} ms`)
  })
}

test('yaml: a policy may have 3,000 values, and more are refused', () => {
  const list = (values: number): string => {
    const text = counted(values, (i) => `            - "/usr/lib/x/${i}"\n`)
    return `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: p }
spec:
  kprobes:
    - call: security_file_permission
      syscall: false
      args: [{ index: 0, type: file }]
      selectors:
${[0, 1, 2].map(() => `        - matchArgs:\n          - index: 0\n            operator: Prefix\n            values:\n${text}`).join('')}`
  }
  const good = parsePolicy(list(1_000), 'p.yaml')
  assert.ok('policy' in good, JSON.stringify(good))
  const large = parsePolicy(list(1_500), 'p.yaml')
  assert.match(JSON.stringify(large), /YAML has more than 16000 tokens: split the file/)
})

test('yaml: the last anchor before an alias is used, also one at a key, and anchors in the value of an alias are not set again', () => {
  const problems = new Problems('f')
  const text = 'x: &a 1\ny: &b [&c 2]\n&a z: *a\nu: &c 3\nv: *b\nw: *c\n'
  const root = parseYaml(text, 'config', problems)
  assert.deepEqual(problems.list(), [])
  const valueOf = (key: string): unknown => {
    const node = root?.entries.get(key)?.value
    return node?.kind === 'scalar' ? node.value : undefined
  }
  assert.deepEqual([valueOf('z'), valueOf('w')], ['z', 3])
})
