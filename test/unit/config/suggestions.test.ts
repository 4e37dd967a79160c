/** The rows of config/yaml/suggestions.json fit existing keys; test/fixtures/wrong/ has the messages. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configJsonSchema } from '../../../config/agent/json-schema.ts'
import { KEYS } from '../../../config/policy/tables.ts'
import suggestions from '../../../config/yaml/suggestions.json' with { type: 'json' }
import { meant } from '../../../config/yaml/suggest.ts'
import { findSpec } from '../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../collector/cli/table/table.ts'

const tables = new Map(Object.values(KEYS).map((table) => [table.name, table]))
const keysOfConfig = new Set(JSON.stringify(configJsonSchema()).match(/"\w+"(?=:)/g))
const isWord = (hint: string): boolean => /^[\w-]+$/.test(hint)

for (const [place, rows] of Object.entries(suggestions)) {
  test(`suggestions: ${place}`, () => {
    for (const [hint, pattern] of Object.entries(rows)) {
      assert.doesNotThrow(() => new RegExp(pattern), hint)
      assert.doesNotMatch(pattern, /^\||\|$|\|\|/, `${hint}: an empty pattern fits nothing`)
    }
    const words = Object.keys(rows).filter(isWord)
    if (place.startsWith('policy ')) {
      const table = tables.get(place.slice('policy '.length))
      assert.ok(table !== undefined, 'no table of keys has this name')
      for (const word of words) assert.ok([...table.own, ...(table.ours ?? [])].includes(word), word)
    } else if (place.startsWith('command')) {
      const inner = place.split(' ').slice(1)
      for (const word of words) assert.equal(findSpec(KTRAIL, [...inner, word]).used, inner.length + 1, word)
    } else if (place.startsWith('key')) {
      for (const word of words) assert.ok(keysOfConfig.has(`"${word}"`), word)
    }
  })
}

test('suggestions: a word is compared as a whole and without case, and in the order of the rows', () => {
  assert.equal(meant('policy a hook', 'Function'), 'call')
  assert.equal(meant('policy a hook', 'functions'), undefined)
  assert.equal(meant('policy a hook', 'function\n'), undefined)
  assert.equal(meant('value exporters.*.endpoint', 'http://h:4317/v1/logs'), 'logs_endpoint takes a whole address')
  assert.equal(meant('__proto__', 'toString'), undefined)
})
