/** Plain words: one word for one thing, statements that begin with their subject, short sentences (test/support/lint/prose.ts). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MOST_WORDS, OLD, problemsAtStart, problemsIn, problemsOf, sentences, wordsOf } from '../support/lint/prose.ts'
import { files, read, withoutBlocks } from './support/pages.ts'

/** The list of old words, and the kernel's names. */
const OWN_WORDS = ['test/support/lint/prose.ts', 'config/policy/system-calls.ts']

const TEXTS = files([
  '*.md',
  'ktrail',
  'Makefile',
  '{bpf,collector,config,deploy,docs,exporters,native,test}/**/*.{ts,js,c,h,cc,sh,md,yaml,awk}',
]).filter((file) => !file.startsWith('bpf/vmlinux/') && !OWN_WORDS.includes(file))

const PAGES = TEXTS.filter((file) => file.endsWith('.md') && !file.startsWith('test/'))

const COLUMNS = 120

test('words: no old word in names, comments, messages and pages', () => {
  assert.ok(TEXTS.length > 500)
  const found = TEXTS.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) =>
        OLD.filter(({ found: old }) => old.test(line)).map(
          ({ found: old, write }) => `${file}:${i + 1}: ${old.exec(line)?.[0]}: write ${write}`,
        ),
      ),
  )
  assert.deepEqual(found, [])
})

/** The lint rule `prose` reads comments and strings of TypeScript and JavaScript. */
test('words: comments of C, C++, shell and YAML begin with their subject, in short sentences', () => {
  const code = TEXTS.filter((file) => /\.(?:c|h|cc|sh|awk|yaml)$|^ktrail$|^Makefile$/.test(file))
  assert.ok(code.length > 100)
  const found = code.flatMap((file) =>
    comments(/\.(?:c|h|cc)$/.test(file) ? onOwnLines(read(file)) : read(file)).flatMap((text) => [
      ...problemsAtStart(text).map((problem) => `${file}: ${problem}`),
      ...problems(file, text),
    ]),
  )
  assert.deepEqual(found, [])
})

test('words: help, metrics and schema begin with their subject, in short sentences', () => {
  const data = [
    'collector/cli/table/commands.json',
    'collector/cli/table/options.json',
    'collector/telemetry/metrics/families.json',
    'config/schema.json',
    ...files(['config/policy/data/*.json']),
  ]
  const found = data.flatMap((file) => texts(JSON.parse(read(file))).flatMap((text) => problems(file, text)))
  assert.deepEqual(found, [])
})

test('words: at most one sentence of the pages in twenty is longer than 25 words, and none begins with a clause', () => {
  const all = PAGES.flatMap((file) => sentences(prose(read(file))).map((sentence) => ({ file, sentence })))
  assert.ok(all.length > 1_500)
  const long = all.filter(({ sentence }) => wordsOf(sentence) > MOST_WORDS)
  assert.ok(long.length <= all.length / 20, `${long.length} of ${all.length}:\n${JSON.stringify(long, null, 1)}`)
  const found = all.flatMap(({ file, sentence }) =>
    problemsOf(sentence).map((problem) => `${file}: ${problem}: ${sentence}`),
  )
  assert.deepEqual(found, [])
})

test(`words: no line of a page has more than ${COLUMNS} columns outside of tables and code`, () => {
  const found = PAGES.flatMap((file) =>
    withoutBlocks(read(file))
      .split('\n')
      .filter((line) => !/^\||^\s*<|^\[.*\]: /.test(line))
      // A link's target and code cannot be broken.
      .filter((line) => line.replaceAll(/\]\(\S+\)|`[^`]*`/g, ']').length > COLUMNS)
      .map((line) => `${file}: ${line}`),
  )
  assert.deepEqual(found, [])
})

const problems = (file: string, text: string): string[] => problemsIn(text).map((problem) => `${file}: ${problem}`)

/** Code of C or C++ whose trailing comments begin a line. */
const onOwnLines = (code: string): string => code.replaceAll(/(?<=\S[ \t]+)(?:\/\*|\/\/ )/g, '\n$&')

/** Comments as running text: lines that follow each other are one. */
function comments(code: string): string[] {
  const found: string[] = []
  let open = false
  for (const line of code.split('\n')) {
    const [, text] = /^\s*(?:\/\*+|\*\/?|\/\/|#(?!!))(?: (.*?)(?:\s*\*\/)?)?$/.exec(line) ?? []
    const isComment = /^\s*(?:\/\*|\*|\/\/|#(?!!))/.test(line)
    if (isComment && open) found.push(`${found.pop()}\n${text ?? ''}`)
    else if (isComment) found.push(text ?? '')
    open = isComment && !/\*\/\s*$/.test(line)
  }
  return found
}

/** All strings of a JSON value. */
const texts = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(texts)

/** A page without its blocks, tables, headings and pictures. */
const prose = (page: string): string =>
  withoutBlocks(page)
    .replaceAll(/<!--.*?-->|<picture>.*?<\/picture>/gs, '')
    .replaceAll(/^[|#].*$/gm, '')
    .replaceAll(/\]\([^)]*\)/g, ']')
