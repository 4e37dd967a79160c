/** Files, names and folders in comments and in pages about the code exist. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { ROOT, files, inlineCode, read, withoutBlocks } from '../support/pages.ts'

const HOUSES = ['bpf', 'collector', 'config', 'deploy', 'exporters', 'native', 'test']
const below = (pattern: string): string[] => HOUSES.map((house) => `${house}/**/${pattern}`)
const SOURCES = files(['Makefile', 'ktrail', ...below('*.{ts,js,c,h,cc,sh,awk,yaml,json,proto,service}')])
/** For people who change ktrail. */
const PAGES = files(['ARCHITECTURE.md', 'CONTRIBUTING.md', ...below('README.md')])

/** Lines of comments, without their marks. */
const comments = (file: string): string[] =>
  [...read(file).matchAll(/^\s*(?:\/\*\*?|\*|\/\/|#)\s+(\S.*)/gm)].map(([, text = '']) => text)

test('docs code: files that comments cite exist', () => {
  const path = new RegExp(
    `(?<![\\w./<-])(?:(?:${HOUSES.join('|')})/[\\w./-]*\\.(?:ts|c|h|cc|sh|json|yaml)|(?:[\\w-]+/)*[\\w-]+\\.test\\.ts)\\b`,
    'g',
  )
  const tests = SOURCES.filter((file) => file.endsWith('.test.ts'))
  let cited = 0
  for (const file of SOURCES.filter((each) => /\.(?:ts|js|c|h|cc|sh|awk|yaml)$|^Makefile$/.test(each))) {
    for (const [name] of comments(file).join('\n').matchAll(path)) {
      if (/\/build\/|NAME|KERNEL/.test(name)) continue
      cited++
      const isThere = [name, join(dirname(file), name)].some((each) => existsSync(join(ROOT, each)))
      assert.ok(isThere || tests.some((each) => each.endsWith(`/${name}`)), `${file} cites ${name}: no such file`)
    }
  }
  assert.ok(cited > 100)
})

test('docs code: functions, types and constants that pages name exist in the code', () => {
  const known = new Set(SOURCES.flatMap((file) => read(file).match(/\w+/g) ?? []))
  let named = 0
  for (const page of PAGES) {
    for (const code of inlineCode(read(page))) {
      if (!/^[A-Za-z_]\w*(?:\(.*\)|\.\w+)*$/.test(code)) continue
      for (const name of code.replaceAll(/\(.*?\)/g, '').split('.')) {
        named++
        assert.ok(name.length < 3 || known.has(name), `${page} names ${code}: it is not in the code`)
      }
    }
  }
  assert.ok(named > 100)
})

test('docs code: pages about the code have no number of files, objects or rooms, because it changes unnoticed', () => {
  const number = 'two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|sixteen|twenty|\\d+'
  const counted = 'files|objects|rooms|folders|edits|headers|variants|programs|slots|parts of the agent|times'
  const count = new RegExp(`\\b(?:${number}) (?:${counted})\\b`, 'gi')
  for (const page of PAGES) {
    const found = withoutBlocks(read(page)).match(count) ?? []
    assert.deepEqual(found, [], page)
  }
})

test('docs code: ARCHITECTURE.md has a row for each folder of the collector', () => {
  const [, table = ''] = /^(\| part of `collector\/`.*\n(?:\|.*\n)+)/m.exec(read('ARCHITECTURE.md')) ?? []
  const rows = [...table.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = '']) => inlineCode(cell))
  const folders = readdirSync(join(ROOT, 'collector'), { withFileTypes: true }).filter((each) => each.isDirectory())
  assert.deepEqual(rows.toSorted(), folders.map(({ name }) => `${name}/`).toSorted())
})
