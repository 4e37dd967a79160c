import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configJsonSchema, withSharedParts } from '../../../config/agent/json-schema.ts'
import { policySchema } from '../../../deploy/crds/write-crds.ts'

/** The schema with each reference replaced by its part. */
function expanded(value: unknown, defs: Readonly<Record<string, unknown>>): unknown {
  if (Array.isArray(value)) return value.map((each) => expanded(each, defs))
  if (typeof value !== 'object' || value === null) return value
  const ref = '$ref' in value && typeof value.$ref === 'string' ? value.$ref : undefined
  if (ref !== undefined) return expanded(defs[ref.replace('#/$defs/', '')], defs)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, expanded(each, defs)]))
}

const plain = (value: object): Record<string, unknown> => JSON.parse(JSON.stringify(value))

for (const [name, schema] of [
  ['policies', policySchema()],
  ['config', configJsonSchema()],
] as const) {
  test(`shared parts: the schema of ${name} has the meaning that it had, in half of the size at most`, () => {
    const { $defs, ...short } = plain(withSharedParts(schema))
    assert.deepEqual(expanded(short, plain($defs as object)), plain(schema))
    const written = JSON.stringify({ ...short, $defs })
    assert.ok(written.length < JSON.stringify(schema).length / 2, `${written.length} characters`)
    const references = new Set([...written.matchAll(/"#\/\$defs\/(\w+)"/g)].map(([, part]) => part))
    assert.deepEqual([...references].toSorted(), Object.keys($defs as object).toSorted())
  })
}

test('shared parts: values stay as they are, and parts of one key that differ get names of their own', () => {
  const long = (about: string): object => ({ type: 'object', description: about.repeat(300), default: {} })
  const twice = { a: long('x'), b: { type: 'object', properties: { a: long('y'), c: long('x') } }, d: long('y') }
  const once = { enum: [long('x'), long('x')], default: { a: long('x') }, const: long('z') }
  assert.deepEqual(withSharedParts({ properties: { ...twice, once } }), {
    properties: {
      a: { $ref: '#/$defs/a' },
      b: { type: 'object', properties: { a: { $ref: '#/$defs/a2' }, c: { $ref: '#/$defs/a' } } },
      d: { $ref: '#/$defs/a2' },
      once,
    },
    $defs: { a: long('x'), a2: long('y') },
  })
})
