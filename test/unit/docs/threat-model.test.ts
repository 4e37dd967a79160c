/** docs/explanation/threat-model.md: each promise has a test of the repository, by its file and a part of its name. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { read } from '../support/pages.ts'

const PAGE = 'docs/explanation/threat-model.md'
const PROFILES = [
  'Unprivileged user',
  'Root in a container',
  'Root on the host',
  'Network neighbour',
  'Operator of a sink',
  'Supply chain',
]

/** Names of the tests of a file, with their placeholders. */
const namesIn = (file: string): string =>
  [...read(file).matchAll(/\b(?:test|it|describe)\(\s*(['`])((?:\\.|(?!\1).)+)\1/g)]
    .map(([, , name]) => name)
    .join('\n')

const sections = read(PAGE).split(/^## /m).slice(1)

describe('threat model', () => {
  it('has each kind of attacker, with promises and their limits', () => {
    assert.deepEqual(
      sections.map((section) => /^.*/.exec(section)?.[0]),
      PROFILES,
    )
    for (const section of sections) assert.match(section, /\n\| promise \| tests \|\n[^]*\nNot promised:\n\n- /)
  })

  for (const section of sections) {
    it(`${/^.*/.exec(section)?.[0]}: each promise has a test that exists`, () => {
      const rows = [...section.matchAll(/^\| (?!promise |---)(.+) \| (.+) \|$/gm)]
      assert.ok(rows.length >= 4)
      for (const [, promise, tests = ''] of rows) {
        const named = [...tests.matchAll(/\[([^\]]+)\]\((\S+?)\)/g)]
        assert.ok(named.length > 0, `${promise}: expected a test, got none`)
        for (const [, name = '', link = ''] of named) {
          const file = join(dirname(PAGE), link)
          assert.match(file, /^test\/.*\.test\.ts$/, promise)
          assert.ok(namesIn(file).includes(name), `${promise}: expected a test "${name}" in ${file}`)
        }
      }
    })
  }
})
