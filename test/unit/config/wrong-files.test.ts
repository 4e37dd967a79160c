/**
 * Wrong configs and policies as people write them, files for other programs, and every line that `ktrail check` prints for them:
 * test/fixtures/wrong/. A line `@hook` stands for the beginning of a policy, `<TAB>` for a tab. UPDATE_GOLDEN=1 rewrites the lines; review as code, and read each aloud.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ktrail } from '../../../collector/cli/ktrail.ts'

const TABLES = ['configs', 'policies', 'foreign', 'habits', 'silent'] as const
const FIXTURES = join(import.meta.dirname, '../../fixtures/wrong')
const HOOK = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:'

interface Row {
  readonly name: string
  readonly text: string
  /** `line:col: message`. */
  readonly want: readonly string[]
}

function rowsOf(table: string): Row[] {
  const [, ...rows] = readFileSync(join(FIXTURES, `${table}.txt`), 'utf8').split(/^=== /m)
  return rows.map((row) => {
    const [, name = '', text = '', want = ''] = /^(.*)\n([^]*?)^-- (?:.*)\n([^]*)$/m.exec(row) ?? []
    return { name, text, want: want.trim() === '' ? [] : want.trim().split('\n') }
  })
}

const folder = mkdtempSync(join(tmpdir(), 'ktrail-wrong-'))
after(() => rmSync(folder, { recursive: true }))

for (const table of TABLES) {
  const rows = rowsOf(table)
  const files = rows.map((_, i) => join(folder, `${table}-${i}.yaml`))
  const got = files.map((): string[] => [])

  describe(`ktrail check of wrong ${table}`, () => {
    before(async () => {
      for (const [i, { text }] of rows.entries()) {
        writeFileSync(files[i] ?? '', text.replace(/^@hook$/m, HOOK).replaceAll('<TAB>', '\t'))
      }
      const print = (output: string | Uint8Array): Promise<boolean> => {
        for (const line of String(output).trimEnd().split('\n')) {
          // Depends on the machine.
          if (/\(kernel of this machine: |on this machine, /.test(line)) continue
          const i = files.findIndex((file) => line.startsWith(`${file}:`))
          got[i]?.push(line.slice((files[i] ?? '').length + 1).replaceAll(`${folder}/`, ''))
        }
        return Promise.resolve(true)
      }
      await ktrail(['check', ...files], { env: {}, print, printError: () => {}, nowMs: Date.now })
      if (process.env['UPDATE_GOLDEN'] !== '1') return
      const texts = rows.map(({ name, text }, i) => `=== ${name}\n${text}-- check\n${(got[i] ?? []).join('\n')}\n`)
      writeFileSync(join(FIXTURES, `${table}.txt`), texts.join('\n'))
    })

    for (const [i, { name, want }] of rows.entries()) {
      it(name, () => {
        assert.notEqual(want.length, 0)
        assert.deepEqual(got[i], want)
      })
    }
  })
}

it('there are at least 150 wrong files, of different names', () => {
  const names = TABLES.flatMap((table) => rowsOf(table).map(({ name }) => `${table}: ${name}`))
  assert.ok(names.length >= 150, String(names.length))
  assert.equal(new Set(names).size, names.length)
  assert.ok(rowsOf('silent').length >= 100)
})

it('a hundred habits of other programs have a next step of their own', () => {
  const rows = rowsOf('habits')
  for (const origin of ['Tetragon', 'Falco', 'Vector', 'Collector']) {
    const count = rows.filter(({ name }) => name.startsWith(`${origin}: `)).length
    assert.ok(count >= 20, `${origin}: ${count}`)
  }
  assert.ok(rows.length >= 100, String(rows.length))
  for (const { name, want } of rows) {
    for (const line of want) {
      assert.match(line, /^\d+:\d+: (?:warning: )?\S/, name)
      // A list of keys alone is no step.
      assert.doesNotMatch(line, /unknown key .*; expected one of/, name)
      assert.match(line, /expected|did you mean|; \S|is not supported|is ignored/, name)
    }
  }
})
