/** One word for one thing, and it is the field's: old names of this project do not come back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { files, read } from './support/pages.ts'

/** What not to write, and what to write. Words in names (`toldMs`, `books()`) count as well. */
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
