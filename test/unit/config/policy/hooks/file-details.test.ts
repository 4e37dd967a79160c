/** `fileDetails` of a hook: accepted values, and refused ones with the place. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'

const OWN = 'ktrail.dev/v1alpha1'

interface Document {
  readonly version?: string
  readonly section?: string
  readonly call?: string
  readonly args?: string
}

/** Whether the hook has it, the most bytes of a file with a hash, or the problems as `line:column: message`. */
function result(value: string, document: Document = {}): unknown {
  const { version = OWN, section = 'kprobes', call = 'call: sys_f', args = '[{index: 0, type: file}]' } = document
  const hook = `- ${call}\n      args: ${args}\n      fileDetails: ${value}\n`
  const text = `apiVersion: ${version}\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  ${section}:\n    ${hook}`
  const parsed = parsePolicy(text, 'p.yaml')
  if ('problems' in parsed) return parsed.problems.map(({ line, col, message }) => `${line}:${col}: ${message}`)
  return parsed.policy.hooks.map(({ fileDetails }) => fileDetails?.hash?.maxBytes ?? fileDetails !== undefined)
}

const WHERE = '8:7: spec.kprobes[0].fileDetails'
const SIZE = 'expected a size up to 16MiB, such as 64KiB'
const NO_FILE = `${WHERE}: requires an argument that is a file, such as {index: 0, type: file}`

const ROWS: ReadonlyArray<readonly [name: string, want: unknown, value: string, document?: Document]> = [
  ['true', [true], 'true'],
  ['false', [false], 'false'],
  ['false, without a file', [false], 'false', { args: '[]' }],
  ['beside other arguments', [true], 'true', { args: '[{index: 1, type: int}, {index: 0, type: dentry}]' }],
  ['a hook of lsmhooks', [true], 'true', { section: 'lsmhooks', call: 'hook: file_open' }],
  ['without arguments', [NO_FILE], 'true', { args: '[]' }],
  ['without a file', [NO_FILE], 'true', { args: '[{index: 0, type: string}, {index: 1, type: sock}]' }],
  ['a hash', [1 << 20], '{hash: sha256}'],
  ['a hash of less', [65536], '{hash: sha256, maxBytes: 64KiB}'],
  ['a hash of the most', [16 << 20], '{maxBytes: 16MiB, hash: sha256}'],
  [
    'a hash of nothing',
    [`8:45: spec.kprobes[0].fileDetails.maxBytes: ${SIZE}, got "0B"`],
    '{hash: sha256, maxBytes: 0B}',
  ],
  ['too much', [`8:45: spec.kprobes[0].fileDetails.maxBytes: ${SIZE}, got "17MiB"`], '{hash: sha256, maxBytes: 17MiB}'],
  [
    'a size without a unit',
    [`8:45: spec.kprobes[0].fileDetails.maxBytes: ${SIZE}, got the number 4096; add its unit`],
    '{hash: sha256, maxBytes: 4096}',
  ],
  ['no hash', ['8:20: spec.kprobes[0].fileDetails.hash: missing; expected sha256'], '{maxBytes: 1MiB}'],
  ['another hash', ['8:27: spec.kprobes[0].fileDetails.hash: expected sha256, got "md5"'], '{hash: md5}'],
  ['a hash without a file', [NO_FILE], '{hash: sha256}', { args: '[{index: 0, type: string}]' }],
  ['a text', ['8:20: spec.kprobes[0].fileDetails: expected true or false, got "yes"; write true'], '"yes"'],
  ['a list', ['8:20: spec.kprobes[0].fileDetails: expected true or false, got a list'], '[links]'],
  [
    'in a file of Tetragon’s language',
    [`8:7: fileDetails: is an addition of ktrail's: write apiVersion: ${OWN}, got cilium.io/v1alpha1`],
    'true',
    { version: 'cilium.io/v1alpha1' },
  ],
  [
    'a tracepoint',
    ['9:7: spec.tracepoints[0]: unknown key "fileDetails"; it belongs in a hook'],
    'true',
    { section: 'tracepoints', call: 'subsystem: s\n      event: e', args: '[]' },
  ],
]

for (const [name, want, value, document] of ROWS) {
  test(`fileDetails: ${name}`, () => assert.deepEqual(result(value, document), want))
}
