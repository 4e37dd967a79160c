import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counted, plural } from '../../../../config/base/counts.ts'

test('counts: one thing is in the singular, others in the plural', () => {
  assert.deepEqual(
    [plural(0, 'event'), plural(1, 'policy'), plural(2, 'policy'), plural(2, 'foreign entry'), plural(2, 'key')],
    ['0 events', '1 policy', '2 policies', '2 foreign entries', '2 keys'],
  )
  assert.deepEqual(
    [plural(1, 'process'), plural(1234, 'process'), counted(1e6)],
    ['1 process', '1,234 processes', '1,000,000'],
  )
})
