/** docs/reference/ lists everything in the code: types, operators, flags, attributes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TYPES } from '../../config/policy/arguments.ts'
import { OPERATORS } from '../../config/policy/operators.ts'
import { PROCESS_FLAGS } from '../../collector/wire/flags.ts'
import { CONTAINER_LABEL_PREFIX, KEYS, LABEL_PREFIX } from '../../exporters/encoding/otlp/attributes.ts'
import { UNSEEN } from '../e2e/files/write-coverage.ts'
import { read } from './support/pages.ts'

function namesAll(page: string, names: readonly string[]): void {
  const text = read(page)
  assert.ok(names.length > 3)
  for (const name of names) assert.ok(text.includes(`\`${name}\``), `${page}: expected \`${name}\``)
}

describe('docs/reference/', () => {
  it('lists every argument type and operator', () => {
    namesAll('docs/reference/policy-language.md', [...TYPES.map(({ name }) => name), ...OPERATORS.keys()])
  })

  it('lists every flag of a process', () => {
    namesAll('docs/reference/records.md', Object.keys(PROCESS_FLAGS))
  })

  it('lists the writes that no hook of the policy sees', () => {
    assert.ok(read('docs/reference/coverage.md').endsWith(`\n${UNSEEN}`))
  })

  it('lists every attribute of an OTLP record', () => {
    const prefixed = [LABEL_PREFIX, CONTAINER_LABEL_PREFIX].map((prefix) => `${prefix}<label>`)
    namesAll('docs/reference/otlp-records.md', [...Object.values(KEYS).map(({ name }) => name), ...prefixed])
  })
})
