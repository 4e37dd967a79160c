/** A map that only the agent writes, against the agent's copy: a change by another program is found, reported and repaired. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { u32 } from '../../../../../collector/wire/bytes.ts'
import { KeptMap } from '../../../../../collector/kernel/watched/kept-map.ts'
import { NativeError } from '../../../../../native/index.ts'

/** Entries by number, with their values. */
interface Rig {
  readonly kernel: Map<number, number>
  readonly kept: KeptMap
  readonly state: { frozen: boolean; parts: boolean; looked: number }
  look(): string[]
}

function rig(entries: number, additions = true): Rig {
  const kernel = new Map<number, number>()
  const state = { frozen: false, parts: true, looked: 0 }
  const change = (): void => {
    if (state.frozen) throw new NativeError('NOT_PERMITTED', 'the map is frozen')
  }
  const numberOf = (bytes: Uint8Array): number => Buffer.from(bytes).readUInt32LE()
  const map: ConstructorParameters<typeof KeptMap>[0] = {
    info: { name: 'asked', keySize: 4, valueSize: 4, maxEntries: 1, perCpu: 1 },
    lookupAll: (keys) => {
      state.looked += keys.length
      return keys.map((key) => {
        const value = kernel.get(numberOf(key))
        return value === undefined ? undefined : u32(value)
      })
    },
    update: (key, value) => {
      change()
      kernel.set(numberOf(key), numberOf(value))
      return true
    },
    delete: (key) => {
      change()
      return kernel.delete(numberOf(key))
    },
    part: (room, from) => {
      if (!state.parts) throw new NativeError('MAP_FAILED', 'cannot read a part')
      const begin = from === undefined ? 0 : numberOf(from)
      const all = [...kernel].slice(begin, begin + room)
      return {
        keys: Buffer.concat(all.map(([key]) => u32(key))),
        values: Buffer.concat(all.map(([, value]) => u32(value))),
        count: all.length,
        next: begin + room < kernel.size ? u32(begin + room) : undefined,
      }
    },
  }
  const kept = new KeptMap(map, { additions })
  for (let i = 0; i < entries; i++) kept.update(u32(i), u32(i + 100))
  const look = (): string[] =>
    kept
      .check()
      .map(({ kind, on, got, repaired }) => `${kind} ${on}: ${got}${repaired ? '' : ', and cannot be put right'}`)
  return { kernel, kept, state, look }
}

test('kept map: the agent’s own changes are no finding, and an empty map is not read', () => {
  const { kernel, kept, state, look } = rig(0)
  kernel.set(9, 9)
  assert.deepEqual([look(), state.looked, kernel.size], [[], 0, 1])
  kernel.clear()
  kept.update(u32(1), u32(2))
  kept.update(u32(1), u32(3))
  assert.deepEqual([look(), kernel.get(1)], [[], 3])
  kept.delete(u32(1))
  assert.deepEqual([look(), kernel.size], [[], 0])
})

test('kept map: a change that the agent’s next write covers is found', () => {
  const { kernel, kept, look } = rig(3)
  kernel.set(1, 0)
  kernel.delete(2)
  for (const key of [0, 1, 2]) kept.update(u32(key), u32(key + 200))
  assert.deepEqual(look(), ['policy_map_changed asked: 2 missing or changed entries'])
  assert.deepEqual([look(), [...kernel.values()]], [[], [200, 201, 202]])
})

test('kept map: the first check finds an emptied map, however many entries it had, and the next ones fill it', () => {
  const { kernel, look } = rig(1_000)
  const before = new Map(kernel)
  kernel.clear()
  assert.deepEqual(look(), ['policy_map_changed asked: 64 missing or changed entries'])
  assert.equal(kernel.size, 64)
  assert.deepEqual(look(), ['policy_map_changed asked: 936 missing or changed entries'])
  assert.deepEqual(new Map([...kernel].toSorted(([a], [b]) => a - b)), before)
  assert.deepEqual([look(), look()], [[], []])
})

test('kept map: a changed or an added entry among many is found in turn', () => {
  const { kernel, look } = rig(200)
  kernel.set(150, 1)
  kernel.set(5_000, 1)
  const found = [look(), look(), look(), look()].flat()
  assert.deepEqual(found, [
    'policy_map_changed asked: 1 missing or changed entry',
    'policy_map_changed asked: 1 foreign entry',
  ])
  assert.deepEqual([kernel.get(150), kernel.get(5_000)], [250, undefined])
})

test('kept map: a change that cannot be repaired is reported as such, each time', () => {
  const { kernel, state, look } = rig(2)
  kernel.set(1, 7)
  state.frozen = true
  const sentence = 'policy_map_changed asked: 1 missing or changed entry, and cannot be put right'
  assert.deepEqual([look(), look()], [[sentence], [sentence]])
})

test('kept map: foreign entries do not count in an array, or if the kernel does not show them', () => {
  for (const [additions, parts] of [
    [false, true],
    [true, false],
  ] as const) {
    const { kernel, state, look } = rig(2, additions)
    state.parts = parts
    kernel.set(7, 7)
    assert.deepEqual([look(), look()], [[], []])
    kernel.delete(0)
    assert.deepEqual(look(), ['policy_map_changed asked: 1 missing or changed entry'])
  }
})
