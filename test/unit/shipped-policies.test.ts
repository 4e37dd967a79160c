/**
 * The 83 policies that Tetragon ships: the ones that load, and the ones that are refused by name. docs/how-to/policies/tetragon.md has the numbers.
 * test/integration-host/shipped-policies.test.ts compares them with Tetragon's own files.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parsePolicy } from '../../config/policy/parse.ts'
import { CORRECTED, INCOMPLETE, LOADING, TETRAGON, WAITING, policyOf, textOf } from '../support/policies/shipped.ts'

function problemsOf(text: string): string[] {
  const result = parsePolicy(text, 'p.yaml')
  return 'problems' in result ? result.problems.map(({ message }) => message) : []
}

for (const row of LOADING) {
  test(`shipped policies: ${row[0]} loads`, () => assert.deepEqual(problemsOf(textOf(policyOf(row))), []))
}

for (const { row, corrected, written, refusal } of CORRECTED) {
  test(`shipped policies: ${row[0]} loads once ${written} is ${corrected}`, () => {
    const text = textOf(policyOf(row))
    assert.deepEqual(problemsOf(text), [])
    const [problem = '', ...others] = problemsOf(text.replace(corrected, written))
    assert.deepEqual([problem.includes(refusal), others], [true, []], problem)
  })
}

for (const row of WAITING) {
  test(`shipped policies: ${row[0]} is refused only for unsupported keys`, () => {
    const problems = problemsOf(textOf(policyOf(row)))
    assert.notDeepEqual(
      problems,
      [],
      'it loads: move its row in test/support/policies/shipped.ts to LOADING, and correct the number in docs/how-to/policies/tetragon.md',
    )
    assert.deepEqual(
      problems.filter((problem) => !/ is not supported /.test(problem)),
      [],
    )
  })
}

for (const [path, text, refusal] of INCOMPLETE) {
  test(`shipped policies: ${path} is refused until it is completed`, () => {
    const problems = problemsOf(text)
    assert.ok(
      problems.some((problem) => problem.includes(refusal)),
      problems.join('\n'),
    )
  })
}

/** The statements of docs/how-to/policies/tetragon.md about policies that wait for `names`. */
const REASONS: ReadonlyArray<readonly [names: readonly string[], sentence: (count: number) => string]> = [
  [['uprobes'], (count) => `\`uprobes\` (${count} policies)`],
  [['usdts'], (count) => `\`usdts\` (${count})`],
  [['loader'], (count) => `\`loader\` (${count})`],
  [['TrackSock', 'UntrackSock'], (count) => `\`TrackSock\` and \`UntrackSock\` (${count})`],
  [['GetUrl', 'DnsLookup'], (count) => `\`GetUrl\` and \`DnsLookup\` (${count})`],
]

test('shipped policies: each of the 83 documents once, and the page has the numbers and the reasons', () => {
  const corrected = CORRECTED.map(({ row }) => row)
  const paths = [...LOADING, ...corrected, ...WAITING, ...INCOMPLETE].map(([path]) => path)
  assert.equal(new Set(paths).size, 83)
  assert.equal(paths.length, 83)
  const reasons = WAITING.map((row) => {
    const problems = problemsOf(textOf(policyOf(row))).join('\n')
    return REASONS.findIndex(([names]) => names.some((name) => problems.includes(`"${name}" is not supported`)))
  })
  const read = (file: string): string =>
    readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8').replaceAll(/\s+/g, ' ')
  const page = read('docs/how-to/policies/tetragon.md')
  const wrong = CORRECTED.filter(({ shipped }) => shipped === 'written').length
  const loading = LOADING.length + CORRECTED.length - wrong
  const sentences = [
    `Tetragon ${TETRAGON.slice(1)} ships 83 policies; ${loading} of them load as they are.`,
    `${wrong} more load once a line is corrected`,
    `Other versions ship ${CORRECTED.length - wrong} of the ${loading} with`,
    ...REASONS.map(([, sentence], i) => sentence(reasons.filter((each) => each === i).length)),
    `incomplete, for Tetragon too (${INCOMPLETE.length})`,
    ...corrected.map(([path]) => `\`${path.slice(path.lastIndexOf('/') + 1)}\``),
  ]
  assert.deepEqual(
    sentences.filter((sentence) => !page.includes(sentence)),
    [],
  )
  assert.ok(read('CHANGELOG.md').includes(`${loading} of the 83 that Tetragon ships load unchanged`))
  assert.ok(!reasons.includes(-1), 'a policy waits for something that REASONS does not name')
})

test('shipped policies: check warns of none, but of keys without effect', () => {
  const root = join(import.meta.dirname, '../..')
  const files = globSync('{config/policies,deploy,test/fixtures/policies/{good,features}}/**/*.yaml', { cwd: root })
  const texts = files
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .filter((text) => /^kind: *"?TracingPolicy/m.test(text))
  assert.ok(texts.length > 70, String(texts.length))
  const tetragons = [...LOADING, ...CORRECTED.map(({ row }) => row)].map((row) => textOf(policyOf(row)))
  const warnings = [...texts, ...tetragons].flatMap((text) => {
    const result = parsePolicy(text, 'p.yaml')
    return 'warnings' in result ? result.warnings.map(({ message }) => message) : []
  })
  const others = warnings.filter(
    (warning) => !/(?:argError|returnArg): has no effect|argError: 1 is not an error/.test(warning),
  )
  assert.deepEqual(others, [])
})
