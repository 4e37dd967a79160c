import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { closed, openObject, openRing } from '../../native/index.ts'
import type { NativeError } from '../../native/index.ts'
import type { BpfMap, ObjectOptions } from '../../native/types.ts'
import { asNobody } from '../support/other-user.ts'
import {
  SYMBOL,
  bytesOf,
  cannotAttach,
  compileFixture,
  descriptors,
  fails,
  rejects,
  hit,
  openFixture,
  programFor,
  sumOf,
} from './native-fixture.ts'

const skip = cannotAttach()
if (skip !== false) console.log(`native-object: skipped: ${skip}`)
const path = skip === false ? compileFixture() : ''

describe('native: objects', { skip }, () => {
  const one = programFor('kprobe')
  const bad: ReadonlyArray<{ name: string; options: ObjectOptions; code: NativeError['code']; message: RegExp }> = [
    {
      name: 'an unknown program',
      options: { programs: [{ name: 'nope', kind: 'kprobe' }] },
      code: 'NO_PROGRAM',
      message: /no program "nope" in/,
    },
    {
      name: 'an unknown constant',
      options: { programs: one, constants: { nope: bytesOf(1) } },
      code: 'NO_CONSTANT',
      message: /constant "nope" of .*no such variable/,
    },
    {
      name: 'a constant of the wrong size',
      options: { programs: one, constants: { tag: bytesOf(1) } },
      code: 'BAD_ARGUMENT',
      message: /constant "tag" of .*expected 8 bytes, got 4/,
    },
    {
      name: 'a size for an unknown map',
      options: { programs: one, mapSizes: { nope: 1 } },
      code: 'NO_MAP',
      message: /no map "nope"/,
    },
    {
      name: 'a size of values for an unknown map',
      options: { programs: one, valueSizes: { nope: 8 } },
      code: 'NO_MAP',
      message: /no map "nope"/,
    },
    {
      name: 'a map that the kernel cannot create',
      options: { programs: one, mapSizes: { table: 4_000_000_000 } },
      code: 'MAP_FAILED',
      message: /cannot create map "table": /,
    },
    {
      name: 'fexit of an unknown function',
      options: { programs: [{ name: 'handle_fexit', kind: 'fexit', target: 'no_such_fn' }] },
      code: 'NO_SYMBOL',
      message: /fexit "no_such_fn": no such function/,
    },
    {
      name: 'fexit without target',
      options: { programs: [{ name: 'handle_fexit', kind: 'fexit' }] },
      code: 'BAD_ARGUMENT',
      message: /program "handle_fexit": expected a target for kind fexit/,
    },
  ]
  for (const { name, options, code, message } of bad) {
    it(`refuses ${name}, and leaves no descriptor`, async () => {
      const before = descriptors()
      await rejects(openObject(path, options), code, message)
      assert.equal(descriptors(), before)
    })
  }

  it('reports the program and the instruction that the verifier refused, and keeps its log', async () => {
    const programs: ObjectOptions['programs'] = [{ name: 'handle_refused', kind: 'kprobe' }]
    const error = await rejects(
      openObject(path, { programs }),
      'LOAD_REFUSED',
      /program "handle_refused": the verifier refused it at instruction \d+: \(79\) r0 = \*\(u64 \*\)\(r0 \+0\) \[return \*value;.*\]: R0 invalid mem access 'map_value_or_null'/,
    )
    assert.match(error.log, /BEGIN PROG LOAD LOG[\s\S]*processed \d+ insns/)
    assert.equal(error.cause, error.log)
    assert.equal(error.target, 'handle_refused')
  })

  it('throws NOT_PERMITTED for a user without the right to load', async () => {
    await asNobody(() => rejects(openFixture(path, 'kprobe'), 'NOT_PERMITTED', /needs root/))
  })

  it('sets constants of every shape by name', async () => {
    const tag = Buffer.from('0102030405060708', 'hex')
    const bytes = Buffer.from('0908070605', 'hex')
    using object = await openFixture(path, 'kprobe', { constants: { tag, bytes } })
    using ring = openRing(object.map('ring'))
    using link = await object.attach('handle_kprobe', [SYMBOL])
    hit()
    link.close()
    await closed()
    const chunk = Buffer.alloc(1 << 17)
    assert.ok(ring.read(chunk) > 0)
    assert.deepEqual(chunk.subarray(8, 21), Buffer.concat([tag, bytes]))
  })

  it('shares a map with a second object, and refuses one of another shape', async () => {
    using first = await openFixture(path, 'kprobe')
    using table = first.map('table')
    using ring = first.map('ring')
    const programs = programFor('kprobe')
    using second = await openObject(path, { programs, sharedMaps: { table } })
    using same = second.map('table')
    table.update(bytesOf(7), bytesOf(70, 8))
    assert.deepEqual(same.lookup(bytesOf(7)), bytesOf(70, 8))
    await rejects(
      openObject(path, { programs, sharedMaps: { table: ring } }),
      'BAD_ARGUMENT',
      /expected hash of 4\/8 bytes, got ringbuf/,
    )
    await rejects(openObject(path, { programs, sharedMaps: { nope: table } }), 'NO_MAP', /no map "nope"/)
  })

  it('object, map and ring throw CLOSED after close', async () => {
    const object = await openFixture(path, 'kprobe')
    const map = object.map('table')
    const ring = openRing(object.map('ring'))
    fails(() => object.map('nope'), 'NO_MAP', /no map "nope"/)
    await rejects(object.attach('handle_multi', [SYMBOL]), 'NO_PROGRAM', /"handle_multi" of .* was not loaded/)
    for (const resource of [object, map, ring, object, map, ring]) resource.close()
    fails(() => object.map('table'), 'CLOSED', /object .* is closed/)
    await rejects(object.attach('handle_kprobe', [SYMBOL]), 'CLOSED', /is closed/)
    fails(() => map.lookup(bytesOf(1)), 'CLOSED', /map "table" is closed/)
    fails(() => map.part(1), 'CLOSED', /map "table" is closed/)
    fails(() => openRing(map), 'CLOSED', /map "table" is closed/)
    fails(() => ring.read(Buffer.alloc(1 << 17)), 'CLOSED', /ring "ring" is closed/)
    fails(() => ring.available(), 'CLOSED', /ring "ring" is closed/)
  })
})

async function withMap(name: string, use: (map: BpfMap) => void): Promise<void> {
  using object = await openFixture(path, 'kprobe')
  using map = object.map(name)
  use(map)
}

describe('native: maps', { skip }, () => {
  it('looks up, updates and deletes, and returns whether the key existed', async () => {
    await withMap('table', (map) => {
      assert.deepEqual(map.info, { name: 'table', keySize: 4, valueSize: 8, maxEntries: 4096, perCpu: 1 })
      assert.equal(map.lookup(bytesOf(1)), undefined)
      assert.equal(map.update(bytesOf(1), bytesOf(10, 8)), true)
      assert.equal(map.update(bytesOf(1), bytesOf(11, 8), true), false)
      assert.deepEqual(map.lookup(bytesOf(1)), bytesOf(10, 8))
      assert.deepEqual(map.lookupAll([bytesOf(2), bytesOf(1)]), [undefined, bytesOf(10, 8)])
      assert.equal(map.delete(bytesOf(1)), true)
      assert.equal(map.delete(bytesOf(1)), false)
    })
  })

  it('returns all entries of a full hash and refuses one more', async () => {
    await withMap('table', (map) => {
      for (let i = 0; i < 4096; i++) map.update(bytesOf(i), bytesOf(i * 3, 8))
      const { keys, values, count, next } = map.part(8192)
      assert.deepEqual([count, next], [4096, undefined])
      const seen = new Set(Array.from({ length: count }, (_, i) => keys.readUInt32LE(i * 4)))
      assert.equal(seen.size, 4096)
      for (let i = 0; i < count; i++) assert.equal(values.readUInt32LE(i * 8), keys.readUInt32LE(i * 4) * 3)
      fails(() => map.update(bytesOf(5000), bytesOf(0, 8)), 'MAP_FAILED', /"table".*all of its 4096 entries are taken/)
    })
  })

  it('returns a hash in parts of any size, each entry once', async () => {
    for (const room of [1, 100, 10_000]) {
      await withMap('table', (map) => {
        assert.deepEqual([map.part(room).count, map.part(room).next], [0, undefined])
        for (let i = 0; i < 1000; i++) map.update(bytesOf(i), bytesOf(i * 3, 8))
        const seen: number[] = []
        let from: Buffer | undefined
        do {
          const { keys, values, count, next } = map.part(room, from)
          assert.deepEqual([keys.length, values.length], [count * 4, count * 8])
          for (let i = 0; i < count; i++) {
            const key = keys.readUInt32LE(i * 4)
            assert.equal(values.readUInt32LE(i * 8), key * 3)
            seen.push(key)
          }
          from = next
        } while (from !== undefined)
        assert.deepEqual([seen.length, new Set(seen).size], [1000, 1000])
        fails(() => map.part(0), 'BAD_ARGUMENT', /room: expected a whole number from 1/)
        fails(() => map.part(1, Buffer.alloc(3)), 'BAD_ARGUMENT', /position of map "table": expected \d+ bytes/)
      })
    }
  })

  it('a frozen map takes no more writes, except of programs', async () => {
    using object = await openFixture(path, 'kprobe')
    using table = object.map('table')
    using counts = object.map('counts')
    table.update(bytesOf(1), bytesOf(10, 8))
    table.freeze()
    counts.freeze()
    fails(() => table.update(bytesOf(1), bytesOf(11, 8)), 'NOT_PERMITTED', /map "table": cannot update: .*EPERM/)
    fails(() => table.delete(bytesOf(1)), 'NOT_PERMITTED', /map "table": cannot delete: .*EPERM/)
    fails(() => table.freeze(), 'NOT_PERMITTED', /map "table": cannot freeze: .*EPERM/)
    assert.deepEqual(table.lookup(bytesOf(1)), bytesOf(10, 8))
    using link = await object.attach('handle_kprobe', [SYMBOL])
    assert.equal(link.kind, 'kprobe')
    hit(2)
    assert.equal(sumOf(counts, 0), 2)
  })

  it('finds the longest prefix in a trie', async () => {
    await withMap('trie', (map) => {
      map.update(Buffer.from('20000000c0a80001', 'hex'), bytesOf(1))
      map.update(Buffer.from('10000000c0a80000', 'hex'), bytesOf(2))
      const found = ['20000000c0a80001', '20000000c0a80002', '20000000c0000000'].map((hex) =>
        map.lookup(Buffer.from(hex, 'hex'))?.readUInt32LE(),
      )
      assert.deepEqual(found, [1, 2, undefined])
    })
  })

  it('returns one value for each CPU, padded to 8, of a per-CPU map', async () => {
    await withMap('counts', (map) => {
      const value = Buffer.alloc(map.info.perCpu * 8, 1)
      assert.equal(map.update(bytesOf(1), value), true)
      assert.deepEqual(map.lookup(bytesOf(1)), value)
      fails(
        () => map.update(bytesOf(1), Buffer.alloc(value.length + 8)),
        'BAD_ARGUMENT',
        /value of map "counts": expected \d+ bytes/,
      )
    })
  })

  it('refuses keys and values of the wrong size', async () => {
    await withMap('table', (map) => {
      fails(() => map.lookup(bytesOf(1, 8)), 'BAD_ARGUMENT', /lookup: key of map "table": expected 4 bytes, got 8/)
      fails(
        () => map.lookupAll([bytesOf(1), bytesOf(1, 8)]),
        'BAD_ARGUMENT',
        /lookupAll: key of map "table": expected 4 bytes, got 8/,
      )
      fails(() => map.update(bytesOf(1), bytesOf(1)), 'BAD_ARGUMENT', /value of map "table": expected 8 bytes, got 4/)
      fails(() => map.delete(Buffer.alloc(0)), 'BAD_ARGUMENT', /expected 4 bytes, got 0/)
      fails(() => openRing(map), 'BAD_ARGUMENT', /map "table": expected a ring buffer/)
    })
  })
})
