/** Files that left sticky folders: the entries that are removed before a bit goes to another filter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterBits } from '../../../../../collector/plan/files/bits.ts'
import { identityKey } from '../../../../../collector/plan/files/entries.ts'
import { forgetLeft } from '../../../../../collector/kernel/files/files.ts'
import { IDENTITY, IDENTITY_FILTERS } from '../../../../../collector/wire/wire.ts'
import type { IdentityFilter } from '../../../../../config/policy/policy.ts'

const POLICY = { file: 'policy.yaml' }

const keyOf = (ino: bigint): Buffer => identityKey({ ino, dev: 1, generation: 2 })

function valueOf(below: bigint, named: number): Buffer {
  const value = Buffer.alloc(IDENTITY_FILTERS.bytes)
  value.writeBigUInt64LE(below, IDENTITY_FILTERS.below)
  value.writeUInt32LE(named, IDENTITY_FILTERS.named)
  return value
}

test('left: a removed filter is removed from all entries, and an entry without filters is deleted', () => {
  const entries = new Map([
    [keyOf(1n).toString('hex'), valueOf(4n, 7)],
    [keyOf(2n).toString('hex'), valueOf(4n | (2n ** 63n), 8)],
    [keyOf(3n).toString('hex'), valueOf(2n, 9)],
  ])
  // Entries come in parts of two, as from the kernel.
  const part = (
    _: number,
    from?: Buffer,
  ): { keys: Buffer; values: Buffer; count: number; next: Buffer | undefined } => {
    const all = ['1', '2', '3'].map((n) => keyOf(BigInt(n)))
    const keys = from === undefined ? all.slice(0, 2) : all.slice(2)
    const values = keys.map((key) => entries.get(key.toString('hex')) ?? assert.fail('gone too early'))
    const next = from === undefined ? all[1] : undefined
    return { keys: Buffer.concat(keys), values: Buffer.concat(values), count: keys.length, next }
  }
  forgetLeft(
    {
      info: {
        name: 'left_files',
        keySize: IDENTITY.bytes,
        valueSize: IDENTITY_FILTERS.bytes,
        maxEntries: 3,
        perCpu: 1,
      },
      part,
      update: (key, value) => entries.set(Buffer.from(key).toString('hex'), Buffer.from(value)).size > 0,
      delete: (key) => entries.delete(Buffer.from(key).toString('hex')),
    },
    4n,
  )
  assert.deepEqual(
    entries,
    new Map([
      [keyOf(2n).toString('hex'), valueOf(2n ** 63n, 8)],
      [keyOf(3n).toString('hex'), valueOf(2n, 9)],
    ]),
  )
})

test('left: a sticky list and the same list without sticky have different bits', () => {
  const at = { line: 1, col: 1 }
  const plain: IdentityFilter = { class: 'identity', arg: 0, operator: 'UnderDir', values: ['/a'], at }
  const sticky: IdentityFilter = { ...plain, sticky: true }
  const bits = new FilterBits()
  assert.deepEqual(
    [plain, sticky, sticky].map((filter) => bits.take(POLICY, filter)),
    [true, true, false],
  )
  assert.notEqual(bits.bitOf(plain), bits.bitOf(sticky))
})
