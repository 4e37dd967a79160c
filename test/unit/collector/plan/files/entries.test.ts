/** Entries of the kernel side for the paths of identity filters: bits, keys, and the sets of hashes that reject. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IdentityFilter } from '../../../../../config/policy/policy.ts'
import { FREED_NUMBERS_KEPT, FilterBits, PathNumbers } from '../../../../../collector/plan/files/bits.ts'
import { WantedFiles, identityKey } from '../../../../../collector/plan/files/entries.ts'
import {
  IDENTITY,
  IDENTITY_FILTERS,
  IDENTITY_FILTERS_MAX,
  IDENTITY_NAME,
  IDENTITY_SCREEN,
} from '../../../../../collector/wire/wire.ts'

const POLICY = { file: 'policy.yaml' }

const filter = (operator: IdentityFilter['operator'], ...values: string[]): IdentityFilter => ({
  class: 'identity',
  arg: 0,
  operator,
  values,
  at: { line: 1, col: 1 },
})

test('bits: filters with the same operator and paths share one, whatever the order', () => {
  const bits = new FilterBits()
  assert.equal(bits.take(POLICY, filter('UnderDir', '/a', '/b')), true)
  assert.equal(bits.take(POLICY, filter('UnderDir', '/b', '/a')), false)
  assert.equal(bits.take(POLICY, filter('SameFile', '/a', '/b')), true)
  assert.equal(bits.bitOf(filter('UnderDir', '/b', '/a')), 1n)
  assert.equal(bits.bitOf(filter('SameFile', '/a', '/b')), 2n)
  bits.release(filter('UnderDir', '/a', '/b'))
  assert.equal(bits.bitOf(filter('UnderDir', '/a', '/b')), 1n)
  bits.release(filter('UnderDir', '/a', '/b'))
  assert.equal(bits.bitOf(filter('UnderDir', '/a', '/b')), 0n)
})

test('bits: there are 64, and a released bit is the last to be used again', () => {
  const bits = new FilterBits()
  for (let i = 0; i < IDENTITY_FILTERS_MAX; i++) bits.take(POLICY, filter('UnderDir', `/${i}`))
  assert.throws(() => bits.take(POLICY, filter('UnderDir', '/more')), { code: 'POLICY_REFUSED' })
  bits.release(filter('UnderDir', '/3'))
  bits.release(filter('UnderDir', '/0'))
  bits.take(POLICY, filter('UnderDir', '/more'))
  assert.equal(bits.bitOf(filter('UnderDir', '/more')), 1n << 3n)
})

const file = { ino: 0x1_0000_0002n, dev: 0x800002, generation: 7 }

const wantedIn = (entries: ReadonlyMap<string, { readonly value: Buffer }>, key: Buffer): bigint[] | undefined => {
  const value = entries.get(key.toString('latin1'))?.value
  return value && [value.readBigUInt64LE(IDENTITY_FILTERS.own), value.readBigUInt64LE(IDENTITY_FILTERS.below)]
}

test('entries: a file has the filters of all its paths, and its file system has them too', () => {
  const wanted = new WantedFiles()
  wanted.file(file, { own: 1n, below: 0n }, 3)
  wanted.file({ ...file }, { own: 0n, below: 4n }, 3)
  wanted.file({ ...file, generation: 8 }, { own: 8n, below: 0n }, 3)
  assert.deepEqual(wantedIn(wanted.files, identityKey(file)), [1n, 4n])
  assert.deepEqual(wantedIn(wanted.files, identityKey({ ...file, generation: 8 })), [8n, 0n])
  assert.deepEqual(wantedIn(wanted.files, identityKey({ ino: 0n, dev: file.dev, generation: 0 })), [0n, 13n])
  assert.equal(wanted.names.size, 0)
})

test('entries: a file has the number of the first path that leads to it, and its file system none', () => {
  const wanted = new WantedFiles()
  wanted.file(file, { own: 1n, below: 0n }, 5)
  wanted.file(file, { own: 0n, below: 2n }, 6)
  const named = (key: Buffer): number | undefined =>
    wanted.files.get(key.toString('latin1'))?.value.readUInt32LE(IDENTITY_FILTERS.named)
  assert.deepEqual([named(identityKey(file)), named(identityKey({ ino: 0n, dev: file.dev, generation: 0 }))], [5, 0])
})

test('entries: paths have numbers from 1 on, and a path keeps its number', () => {
  const numbers = new PathNumbers()
  assert.deepEqual([numbers.of('/a'), numbers.of('/b'), numbers.of('/a')], [1, 2, 1])
  assert.deepEqual(
    [0, 1, 2, 3].map((number) => numbers.pathOf(number)),
    [undefined, '/a', '/b', undefined],
  )
})

test('entries: policies that come and go do not make the table of paths grow for ever', () => {
  const numbers = new PathNumbers()
  const stays = numbers.of('/stays')
  let most = 0
  for (let i = 0; i < 3 * FREED_NUMBERS_KEPT; i++) {
    const path = `/policy-${i}`
    most = Math.max(most, numbers.of(path))
    numbers.keep(new Set(['/stays']))
    // A record of the removed policy may be in the ring.
    assert.equal(numbers.pathOf(numbers.of(path)), path)
    numbers.keep(new Set(['/stays']))
  }
  assert.ok(most <= FREED_NUMBERS_KEPT + 3, `${most}`)
  assert.deepEqual([numbers.of('/stays'), numbers.pathOf(stays)], [stays, '/stays'])
})

test('entries: a name in a folder, as bytes; a name that is too long for an entry is left out', () => {
  const wanted = new WantedFiles()
  wanted.name(file, 'ü', { own: 2n, below: 0n }, 3)
  wanted.name(file, 'x'.repeat(256), { own: 2n, below: 0n }, 3)
  const [[, { key }] = assert.fail('no name')] = wanted.names
  assert.equal(wanted.names.size, 1)
  assert.equal(key.length, IDENTITY_NAME.bytes)
  assert.deepEqual(key.subarray(IDENTITY_NAME.folder, IDENTITY.bytes), identityKey(file))
  assert.deepEqual(key.subarray(IDENTITY_NAME.name, IDENTITY_NAME.name + 3), Buffer.from([0xc3, 0xbc, 0]))
})

test('entries: the screen has a bit for each device, file and folder', () => {
  const wanted = new WantedFiles()
  const bitsIn = (at: number, words: number): number => {
    const screen = wanted.screen(5n, 9n)
    let ones = 0
    for (let w = 0; w < words; w++)
      ones += screen
        .readBigUInt64LE(at + 8 * w)
        .toString(2)
        .replaceAll('0', '').length
    return ones
  }
  assert.equal(bitsIn(IDENTITY_SCREEN.devices, 9), 0)
  wanted.file(file, { own: 1n, below: 0n }, 3)
  wanted.name({ ...file, ino: 77n }, 'n', { own: 1n, below: 0n }, 3)
  assert.deepEqual(
    [bitsIn(IDENTITY_SCREEN.devices, 1), bitsIn(IDENTITY_SCREEN.files, 4), bitsIn(IDENTITY_SCREEN.folders, 4)],
    [1, 1, 1],
  )
  assert.equal(wanted.screen(5n, 9n).readBigUInt64LE(IDENTITY_SCREEN.unknown), 5n)
  assert.equal(wanted.screen(5n, 9n).readBigUInt64LE(IDENTITY_SCREEN.round), 9n)
})
