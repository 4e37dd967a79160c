import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { automaton } from '../../../../../collector/plan/layout/automaton.ts'
import { AUTOMATON_FOUND } from '../../../../../collector/wire/wire.ts'

/** As bpf/call/text.h walks it. */
function contains(rows: readonly Uint16Array[], first: number, text: Buffer): boolean {
  let state = first
  for (const byte of text) {
    state = rows[state - first]?.[byte] ?? assert.fail(`no state ${state}`)
    if (state === AUTOMATON_FOUND) return true
  }
  return false
}

// Few letters, so that values begin and end like one another.
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '/', 'é'), minLength: 1, maxLength: 6 })

test('automaton: finds the same values as a plain search', () => {
  const values = fc.array(text, { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(values, fc.array(text, { maxLength: 6 }), fc.nat(1000), (parts, words, first) => {
      const whole = words.join('')
      const rows = automaton(
        parts.map((part) => Buffer.from(part)),
        false,
        first,
      )
      assert.equal(
        contains(rows, first, Buffer.from(whole)),
        parts.some((part) => whole.includes(part)),
      )
      const folded = automaton(
        parts.map((part) => Buffer.from(part)),
        true,
        first,
      )
      const lower = (each: string): string => each.replaceAll('A', 'a')
      assert.equal(
        contains(folded, first, Buffer.from(whole)),
        parts.some((part) => lower(whole).includes(lower(part))),
      )
    }),
  )
})

test('automaton: a value has as many states as bytes, and beginnings in common are stored once', () => {
  assert.equal(automaton([Buffer.from('abcd')], false, 0).length, 4)
  assert.equal(automaton([Buffer.from('abcd'), Buffer.from('abce')], false, 0).length, 4)
  assert.throws(() => automaton([Buffer.from('abcd')], false, 65_533), /split the policy/)
})
