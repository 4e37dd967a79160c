/** Tables → the entries and sizes of maps. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../../../../collector/host/turns.ts'
import { SetTable, Tables, fillMaps, mapSizes } from '../../../../../collector/plan/layout/tables.ts'
import { EDGE_OPEN, EMPTY_SET, SELECTOR } from '../../../../../collector/wire/wire.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { laidOut } from '../../support/layout.ts'
import { onPath } from '../../support/specs.ts'

const unused = (): never => assert.fail('maps are only filled')

/** Maps that keep their entries as hex; `open`: maps that are not closed; `frozen`: maps that are read-only. */
function fakeMaps(): {
  entries: Map<string, string[]>
  open: Set<string>
  frozen: Set<string>
  map(name: string): BpfMap
} {
  const entries = new Map<string, string[]>()
  const [open, frozen] = [new Set<string>(), new Set<string>()]
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return {
    entries,
    open,
    frozen,
    map(name) {
      entries.set(name, [])
      open.add(name)
      return {
        info: { name, keySize: 0, valueSize: 0, maxEntries: 0, perCpu: 1 },
        update: (key, value) => {
          assert.ok(!frozen.has(name))
          entries.get(name)?.push(`${hex(key)} ${hex(value)}`)
          return true
        },
        lookup: unused,
        lookupAll: unused,
        delete: unused,
        part: unused,
        freeze: () => void frozen.add(name),
        close: unused,
        [Symbol.dispose]: () => void open.delete(name),
      }
    },
  }
}

test('tables: equal sets are stored once, the empty one is the first', () => {
  const sets = new SetTable()
  assert.deepEqual(
    [0n, 5n, 1n << 511n, 5n, 0n, 1n << 511n].map((bits) => sets.id(bits)),
    [EMPTY_SET, 1, 2, 1, EMPTY_SET, 2],
  )
  assert.deepEqual(sets.sets, [0n, 5n, 1n << 511n])
})

test('tables: equal policies share their sets', () => {
  const { tables } = laidOut(...Array.from({ length: 50 }, () => onPath(['Prefix', ['/etc/', '/usr/', '/var/lib/']])))
  assert.deepEqual(tables.sets.sets, [0n, 2n ** 50n - 1n])
})

test('tables: every entry goes into its map, which has room for it', async () => {
  const tables = new Tables()
  tables.selectors.push(Buffer.alloc(SELECTOR.bytes, 1), Buffer.alloc(SELECTOR.bytes, 2))
  tables.sets.id((1n << 511n) | (1n << 64n) | 3n)
  tables.numberSets.push(1, 0)
  tables.numbers.push({ filter: 3, number: 2n ** 64n - 2n })
  tables.texts.push({ filter: 4, bytes: Buffer.from('/a'), len: 2, next: 7 })
  tables.suffixes.push({ filter: 5, bytes: Buffer.from('b.') })
  tables.edges.push({ word: 0x6261n, node: 6, len: EDGE_OPEN + 2, to: { id: 7, here: 8, below: 9, open: 0x80 } })
  tables.sockets.push({ filter: 6, bits: 9, bytes: [10, 128, 0, 0] })
  const place = { steps: [5], last: 6, sizeBytes: 2, signed: true, bit: 3, bits: 4, textBytes: 16, user: true, at: 8 }
  tables.places.push(place)
  tables.automaton.push(new Uint16Array(256).fill(0x0506))
  const object = fakeMaps()
  await fillMaps(object, tables, new Turns())
  const zeroes = (bytes: number): string => '00'.repeat(bytes)
  const set = ['0300000000000000', '0100000000000000', zeroes(40), '0000000000000080'].join('')
  assert.deepEqual([...object.frozen], [...object.entries.keys()])
  assert.deepEqual(Object.fromEntries(object.entries), {
    selectors: [`00000000 ${'01'.repeat(SELECTOR.bytes)}`, `01000000 ${'02'.repeat(SELECTOR.bytes)}`],
    sets: [`00000000 ${zeroes(64)}`, `01000000 ${set}`],
    number_sets: ['00000000 01000000', '01000000 00000000'],
    numbers: ['0300000000000000feffffffffffffff 01'],
    texts: [`30000000040000002f61${zeroes(250)} 0200000007000000`],
    suffixes: [`3000000005000000622e${zeroes(126)} 02000000`],
    edges: ['61620000000000000600000002000080 07000000080000000900000080000000'],
    scratch: [],
    places: [`00000000 05000000${zeroes(36)}06000000080001020103041001000000`],
    automata: [`00000000 ${'0605'.repeat(256)}`],
    socket_values: [`29000000060000000a80${zeroes(14)} 01`],
  })
  for (const [name, size] of Object.entries(mapSizes(tables))) {
    assert.equal(size, object.entries.get(name)?.length, name)
  }
  assert.deepEqual([...object.open], [])
})

test('tables: many entries are written in several turns of the event loop', async () => {
  const tables = new Tables()
  for (let i = 0; i < 100; i++) tables.numberSets.push(i)
  const object = fakeMaps()
  let nowMs = 0
  const turns = new Turns(() => nowMs++)
  const writtenBy: number[] = []
  setImmediate(() => writtenBy.push(object.entries.get('number_sets')?.length ?? 0))
  await fillMaps(object, tables, turns)
  assert.equal(object.entries.get('number_sets')?.length, 100)
  const [written = 100] = writtenBy
  assert.ok(written < 100, `the event loop had its first turn after ${written} entries`)
  assert.deepEqual([...object.open], [])
})

test('tables: a map without entries has the least size that the kernel takes', () => {
  assert.deepEqual(mapSizes(new Tables()), {
    selectors: 1,
    sets: 1,
    number_sets: 1,
    numbers: 1,
    texts: 1,
    suffixes: 1,
    edges: 1,
    socket_values: 1,
    places: 1,
    automata: 1,
  })
})
