/** docs/reference/ lists everything in the code: types, operators, flags, attributes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TYPES } from '../../../config/policy/arguments.ts'
import { IDENTITY_OPERATORS, OPERATORS } from '../../../config/policy/operators.ts'
import { KEYS } from '../../../config/policy/tables.ts'
import { PROCESS_FLAGS } from '../../../collector/wire/flags.ts'
import {
  KEYS as ATTRIBUTES,
  CONTAINER_LABEL_PREFIX,
  LABEL_PREFIX,
} from '../../../exporters/encoding/otlp/attributes.ts'
import { UNSEEN } from '../../e2e/files/write-coverage.ts'
import { PAGES, read } from '../support/pages.ts'

function namesAll(page: string, names: readonly string[]): void {
  const text = read(page)
  assert.ok(names.length > 3)
  for (const name of names) assert.ok(text.includes(`\`${name}\``), `${page}: expected \`${name}\``)
}

describe('docs/reference/', () => {
  it('lists every argument type and operator', () => {
    const types = TYPES.map(({ name }) => name)
    namesAll('docs/reference/policy/arguments.md', types)
    namesAll('docs/reference/policy/selectors.md', [...OPERATORS.keys(), ...IDENTITY_OPERATORS.keys()])
  })

  it('lists every key of a policy', () => {
    const folder = 'docs/reference/policy/'
    const text = PAGES.filter((page) => page.startsWith(folder))
      .map(read)
      .join('\n')
    const keys = Object.values(KEYS).flatMap(({ own, ours = [] }) => [...own, ...ours])
    assert.ok(keys.length > 50)
    for (const key of keys) assert.match(text, new RegExp(`\\b${key}\\b`), folder)
  })

  it('lists every flag of a process', () => {
    namesAll('docs/reference/records/process.md', Object.keys(PROCESS_FLAGS))
  })

  it('lists the writes that no hook of the policy sees', () => {
    assert.ok(read('docs/reference/coverage.md').endsWith(`\n${UNSEEN}`))
  })

  it('lists every attribute of an OTLP record', () => {
    const prefixed = [LABEL_PREFIX, CONTAINER_LABEL_PREFIX].map((prefix) => `${prefix}<label>`)
    namesAll('docs/reference/otlp-records.md', [...Object.values(ATTRIBUTES).map(({ name }) => name), ...prefixed])
  })
})
