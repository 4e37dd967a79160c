import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Problems, formatProblem } from '../../../../config/yaml/problems.ts'
import { parseYaml } from '../../../../config/yaml/yaml.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

function parse(text: string): { root: ReturnType<typeof parseYaml>; problems: string[] } {
  const problems = new Problems('f.yaml')
  const root = parseYaml(text, 'config', problems)
  return { root, problems: problems.list().map(formatProblem) }
}

describe('parseYaml', () => {
  it('keeps the position of every key and value', () => {
    const { root } = parse('# note\na: 1\nb:\n  - x\n  - {c: "y"}\n')
    assert.deepEqual(root?.entries.get('a'), {
      keyAt: { line: 2, col: 1 },
      value: { kind: 'scalar', at: { line: 2, col: 4 }, value: 1, source: '1' },
    })
    const list = root?.entries.get('b')?.value
    assert.ok(list?.kind === 'list' && list.items[1]?.kind === 'map')
    assert.deepEqual(list.items[0]?.at, { line: 4, col: 5 })
    assert.deepEqual(list.items[1].entries.get('c')?.keyAt, { line: 5, col: 6 })
  })

  it('counts lines that end in CR LF, and skips a byte order mark', () => {
    const { root } = parse('\ufeffa: 1\r\nb: 2\r\n')
    assert.deepEqual(root?.entries.get('b')?.keyAt, { line: 2, col: 1 })
  })

  it('puts an alias at its own position with the value of its anchor', () => {
    const { root } = parse('a: &x 5\nb: *x\n')
    assert.deepEqual(root?.entries.get('b')?.value, {
      kind: 'scalar',
      at: { line: 2, col: 4 },
      value: 5,
      source: '5',
    })
  })

  it('reads keywords of YAML 1.1 as texts and 0600 as decimal, as YAML 1.2 does', () => {
    const { root } = parse('a: yes\nb: 0600\nc: 0o600\n')
    const value = (key: string): unknown => {
      const node = root?.entries.get(key)?.value
      return node?.kind === 'scalar' ? node.value : undefined
    }
    assert.deepEqual(['a', 'b', 'c'].map(value), ['yes', 600, 384])
  })

  for (const { name, input, want } of [
    { name: 'nothing', input: '', want: ['f.yaml:1:1: config file is empty: expected a YAML mapping'] },
    {
      name: 'a document mark alone',
      input: '---\n',
      want: ['f.yaml:1:1: config file is empty: expected a YAML mapping'],
    },
    { name: 'null', input: 'null', want: ['f.yaml:1:1: config file is empty: expected a YAML mapping'] },
    { name: 'a number', input: '\n 5', want: ['f.yaml:2:2: config file: expected a YAML mapping, got the text "5"'] },
    {
      name: 'a dangling alias',
      input: 'a: *nobody\n',
      want: ['f.yaml:1:4: YAML alias "*nobody" has no anchor before it; if it is a text, put it in quotes'],
    },
    { name: 'an alias of itself', input: 'a: &a [*a]\n', want: ['f.yaml:1:7: YAML is nested deeper than 64 levels'] },
    {
      name: 'a key that is a number',
      input: '5: a\n',
      want: ['f.yaml:1:1: expected a text as key, got 5: put it in quotes if it is a text'],
    },
    {
      name: 'a key that is a list',
      input: '[a]: b\n',
      want: ['f.yaml:1:1: expected a text as key, got a list'],
    },
    {
      name: 'a NUL byte',
      input: 'a: b\nc: \0\n',
      want: ['f.yaml:2:4: character U+0000 is not allowed in YAML: expected a text file'],
    },
    {
      name: 'half a surrogate pair',
      input: 'a: \ud83d\n',
      want: ['f.yaml:1:4: character U+D83D is not allowed in YAML: expected a text file'],
    },
    {
      name: 'an unclosed bracket',
      input: 'a: [b\n',
      want: ['f.yaml:1:4: the bracket [ that opens here is never closed'],
    },
    {
      name: 'a tag of its own',
      input: 'a: !secret b\n',
      want: ['f.yaml:1:4: YAML tag is not supported: !secret'],
    },
  ]) {
    it(`refuses ${name}`, () => assert.deepEqual(parse(input).problems, want))
  }

  it('accepts an emoji, which is a whole surrogate pair', () => {
    assert.deepEqual(parse('a: "📚"\n').problems, [])
  })
})

// The longest of these takes about two seconds on a slow machine; quadratic behaviour would take minutes.
const LIMIT_MS = 20_000
const MEGABYTE = 1024 * 1024 - 8

describe('parseYaml: a megabyte', () => {
  for (const [name, unit] of [
    ['opening brackets', '['],
    ['closing brackets', ']'],
    ['dashes', '- '],
    ['keys', 'a: b\n'],
    ['tabs', '\ta: b\n'],
    ['quotes', '"'],
    ['aliases', '*a '],
    ['anchors', '&a '],
    ['tags', '!!x '],
    ['documents', '---\n'],
    ['commas', '[,'],
    ['comments', '#\n'],
    ['directives', '%a\n'],
    ['binary', '\x00\xff\x01\xfe'],
    ['replacement characters', '\ufffd'],
  ] as const) {
    it(`of ${name} yields 1 to 21 problems in bounded processor time`, () => {
      const fromMs = cpuMs()
      const { problems } = parse(unit.repeat(MEGABYTE / unit.length))
      assert.ok(problems.length >= 1 && problems.length <= 21, `${problems.length} problems`)
      assert.ok(cpuMs() - fromMs < LIMIT_MS)
    })
  }

  it('of different keys is not quadratic', () => {
    const text = Array.from({ length: 50_000 }, (_, i) => `k${i}: v`).join('\n')
    const fromMs = cpuMs()
    assert.equal(parse(text).root?.entries.size, 50_000)
    assert.ok(cpuMs() - fromMs < LIMIT_MS)
  })

  it('and one byte is refused unread', () => {
    const { problems } = parse('#'.repeat(1024 * 1024 + 1))
    const want = ['f.yaml:1:1: config is too large: expected at most 1048576 bytes, got 1048577']
    assert.deepEqual(problems, want)
    // Characters of two bytes each, but for the first.
    assert.deepEqual(parse(`#${'ä'.repeat(512 * 1024)}`).problems, want)
  })
})
