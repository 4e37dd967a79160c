/** One word for one thing, and it is the field's: old names of this project do not come back. Statements begin with their subject. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { files, read } from './support/pages.ts'

/** Old words, and the words to write instead. Words in names (`toldMs`, `books()`) count as well. */
const OLD: readonly (readonly [RegExp, string])[] = [
  [/\bbooks?\b|[a-z]Books\b/, 'accounting, counters'],
  [/\btroubles?\b(?! ?shoot)|[a-z]Trouble/i, 'failure'],
  [/\bmend(s|ed|ing)?\b/i, 'repair, correct'],
  [/\blanes?\b/i, 'partition batch'],
  [/(?<!\bin[ -])\bflights?\b/i, 'in-flight batch'],
  [/\b(bell|alarm)s?\b/i, 'signal, timer'],
  [/\bin force\b/i, 'effective, in effect'],
  [/\bunsure\b/i, 'unacknowledged'],
  [/\b(is|are|was|were) told\b/i, 'reported, logged'],
  [/\ba person must\b/i, 'needs manual action'],
  [/\b(somebody|whoever)\b/i, 'the user, the caller, another process'],
  [/\bstands? still\b|\bfor want of\b|\bgoes by way\b/i, 'plain words'],
  [/\bsaid\b/i, 'reported, logged, printed'],
]

/** This list, and the kernel's names. */
const OWN_WORDS = ['test/unit/words.test.ts', 'config/policy/system-calls.ts']

const TEXTS = files([
  '*.md',
  'ktrail',
  'Makefile',
  '{bpf,collector,config,deploy,docs,exporters,native,test}/**/*.{ts,js,c,h,cc,sh,md,yaml,awk}',
]).filter((file) => !file.startsWith('bpf/vmlinux/') && !OWN_WORDS.includes(file))

test('words: no old word in names, comments, messages and pages', () => {
  assert.ok(TEXTS.length > 500)
  const found = TEXTS.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) =>
        OLD.filter(([old]) => old.test(line)).map(
          ([old, instead]) => `${file}:${i + 1}: ${old.exec(line)?.[0]}: write ${instead}`,
        ),
      ),
  )
  assert.deepEqual(found, [])
})

/** A statement with such a first word has a clause for its subject, or its object before the verb. Questions may begin so. */
const CLAUSE = /^(?:What|Of|Who|Whose|Whoever|Which|None|Those)\b(?![^.]*\?)/

test('words: no comment begins with a clause', () => {
  const code = TEXTS.filter((file) => /\.(?:ts|js|c|h|cc|sh)$|^ktrail$|^Makefile$/.test(file))
  const found = code.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, i) => {
        const text = /^\s*(?:\/\*\*?|\*|\/\/|#)\s+(\S.*)/.exec(line)?.[1] ?? ''
        return CLAUSE.test(text) ? [`${file}:${i + 1}: ${text}`] : []
      }),
  )
  assert.deepEqual(found, [])
})

/** Sentences of a page outside of code, tables and headings. */
function sentences(page: string): string[] {
  const prose = page.replaceAll(/```.*?```|<!--.*?-->|<picture>.*?<\/picture>/gs, '').replaceAll(/^[|#].*$/gm, '')
  const paragraphs = prose.split(/\n\s*\n|\n\s*(?:[-*]|\d+\.) /).map((each) => each.replaceAll(/\s+/g, ' ').trim())
  return paragraphs
    .flatMap((each) => each.split(/(?<=[.!?:])\s+(?=[A-Z`*])/))
    .filter((each) => each.split(' ').length > 2)
}

test('words: at most one sentence of the pages in twenty is longer than 25 words, and few begin with a clause', () => {
  const pages = TEXTS.filter((file) => file.endsWith('.md') && !file.startsWith('test/'))
  const all = pages.flatMap((file) => sentences(read(file)).map((sentence) => ({ file, sentence })))
  assert.ok(all.length > 2_000)
  const long = all.filter(({ sentence }) => sentence.split(' ').length > 25)
  assert.ok(long.length <= all.length / 20, `${long.length} of ${all.length}:\n${JSON.stringify(long, null, 1)}`)
  const clauses = all.filter(({ sentence }) => CLAUSE.test(sentence))
  assert.ok(clauses.length <= 10, JSON.stringify(clauses, null, 1))
})
