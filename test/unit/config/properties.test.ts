/** For any text, both parsers return a value or problems with a valid position. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { checkFile } from '../../../config/agent/check.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Problem } from '../../../config/yaml/problems.ts'

const ROOT = join(import.meta.dirname, '../../..')
const SEEDS = [
  'config/policies/optional/file-monitoring.yaml',
  'test/fixtures/policies/good/everything.yaml',
  'test/fixtures/configs/good/every-key.yaml',
  'test/fixtures/configs/good/filters.yaml',
].map((path) => readFileSync(join(ROOT, path), 'utf8'))

/** Runs of each property, each time with another seed. */
const RUNS = 300

function sound(problems: readonly Problem[], text: string): void {
  assert.ok(problems.length >= 1 && problems.length <= 21)
  const lines = text.split(/\r\n|\r|\n/)
  let before = 0
  for (const { file, line, col, message } of problems) {
    assert.equal(file, 'f')
    assert.ok(line >= 1 && line <= lines.length, `line ${line} of ${lines.length}`)
    assert.ok(col >= 1)
    assert.ok(line >= before)
    before = line
    assert.match(message, /^[^\n\r]*[^\n\r.]$/)
  }
}

function bothAreSound(text: string): void {
  const policy = parsePolicy(text, 'f')
  if ('problems' in policy) sound(policy.problems, text)
  const config = loadConfig(text, 'f', {}, () => '')
  if ('problems' in config) sound(config.problems, text)
}

/** Keys and words of both formats, so that random structures become deep. */
const word = fc.constantFrom(
  ...'apiVersion kind metadata spec kprobes call syscall return returnArg args index type selectors matchArgs operator values message tags name labels'.split(
    ' ',
  ),
  ...'exporters a queue batch retry rotate max_bytes max_events when_full type server http policies ring size log node_name fsync mode path'.split(
    ' ',
  ),
  '__proto__',
  'constructor',
  'toString',
  'TracingPolicy',
  'cilium.io/v1alpha1',
  'file',
  'stdout',
  'otlp',
  'int',
  'Equal',
  'Prefix',
  'Mask',
  '16MiB',
  '10s',
  '$',
  '${env:X}',
  '${file:x}',
  '',
)

const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    word,
    fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.string()),
    fc.array(tie('tree'), { maxLength: 6 }),
    fc.dictionary(fc.oneof(word, fc.string({ maxLength: 8 })), tie('tree'), { maxKeys: 8 }),
  ),
}))

describe('both parsers', () => {
  it('survive any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), bothAreSound), { numRuns: RUNS })
  })

  it('survive any text made of YAML tokens', () => {
    const piece = fc.oneof(
      word,
      fc.constantFrom(
        ': ',
        '- ',
        '\n',
        '\n  ',
        '\t',
        '{',
        '}',
        '[',
        ']',
        ',',
        '"',
        "'",
        '&a ',
        '*a',
        '!!str ',
        '|\n',
        '>-\n',
        '#',
        '---\n',
        '...\n',
        '? ',
        '%',
        '\r\n',
        '<<: ',
      ),
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
        bothAreSound,
      ),
      { numRuns: RUNS },
    )
  })

  it('survive any structure', () => {
    fc.assert(
      fc.property(tree, (value) => bothAreSound(stringify(value, { aliasDuplicateObjects: false }))),
      { numRuns: RUNS },
    )
  })

  it('survive any structure in place of any value of a good file', () => {
    const spot = fc.tuple(fc.constantFrom(...SEEDS), fc.nat(), tree)
    fc.assert(
      fc.property(spot, ([text, at, value]) => {
        const values = [...text.matchAll(/(?<=[:-] )[^\s{[#&*][^\n,}#]*/g)]
        const found = values[at % values.length]
        assert.ok(found !== undefined)
        const json = JSON.stringify(value) ?? 'null'
        bothAreSound(text.slice(0, found.index) + json + text.slice(found.index + found[0].length))
      }),
      { numRuns: RUNS },
    )
  })

  it('survive any change of a character in a good file', () => {
    const change = fc.tuple(fc.constantFrom(...SEEDS), fc.nat(), fc.nat(3), fc.string({ unit: 'binary', maxLength: 3 }))
    fc.assert(
      fc.property(change, ([text, at, drop, put]) => {
        const index = at % text.length
        bothAreSound(text.slice(0, index) + put + text.slice(index + drop))
      }),
      { numRuns: RUNS },
    )
  })

  it('end no message with a period, even with quoted YAML and numbers', () => {
    bothAreSound('%...\n')
    bothAreSound('a: !x... b\n')
    bothAreSound('exporters: {a: {type: stdout, filter: {sample: 0.}}}\n')
    bothAreSound('spec: {kprobes: [{call: 1.}]}\n')
  })

  it('refuse a file of another format', async () => {
    assert.equal((await checkFile(join(ROOT, 'package.json'), {})).problems.length > 0, true)
  })
})
