/** Texts cached with processes: bounded, the least recently used are evicted first, and the charged size is the real one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ARRAY_BYTES, Renderings } from '../../../../exporters/contract/renderings.ts'
import type { Rendered } from '../../../../exporters/contract/renderings.ts'

const SLOTS = ['json', 'jsonParent', 'otlp', 'otlpParent'] as const
const LIMIT = 64_000

const kept = (rendered: Rendered): number =>
  [...SLOTS.map((slot) => rendered[slot]), rendered.caller?.bytes].reduce(
    (sum, bytes) => sum + (bytes === undefined ? 0 : bytes.length + ARRAY_BYTES),
    0,
  )

/** As an encoder does it. */
function read(rendered: Rendered, slot: (typeof SLOTS)[number], size: number): Uint8Array {
  return rendered.touch()[slot] ?? rendered.keep(slot, new Uint8Array(size))
}

test('renderings: used ones stay, unused ones are evicted', () => {
  const cache = new Renderings(LIMIT)
  const busy = cache.make()
  const idle = cache.make()
  const first = read(busy, 'json', 1000)
  read(idle, 'json', 1000)
  for (let i = 0; i < 200; i++) {
    read(cache.make(), 'json', 1000)
    assert.equal(read(busy, 'json', 1000), first, `after ${i}`)
  }
  assert.equal(idle.json, undefined)
  assert.equal(idle.bytes, 0)
  assert.ok(cache.evicted > 100)
})

test('renderings: one that would need a large part of the budget is not cached', () => {
  const cache = new Renderings(LIMIT)
  const rendered = cache.make()
  assert.equal(read(rendered, 'json', LIMIT / 16).length, LIMIT / 16)
  assert.equal(rendered.json, undefined)
  assert.equal(cache.bytes, 0)
  assert.equal(new Renderings(0).make().keep('otlp', new Uint8Array(1)).length, 1)
})

test('renderings: a removed process removes its renderings and those of its copies', () => {
  const cache = new Renderings(LIMIT)
  const rendered = cache.make()
  const copies = [rendered.copy(), rendered.copy()]
  const { key } = rendered
  for (const each of [rendered, ...copies]) read(each, 'otlp', 100)
  assert.ok(cache.bytes > 300)
  rendered.drop()
  assert.equal(cache.bytes, 0)
  assert.equal(copies[0]?.otlp, undefined)
  assert.notEqual(rendered.key, key, 'the old key must find nothing')
})

test('renderings: an evicted process gets a new key', () => {
  const cache = new Renderings(LIMIT)
  const rendered = cache.make()
  const { key } = rendered
  rendered.charge(1000)
  const copy = rendered.copy()
  read(copy, 'json', 100)
  cache.limit = 0
  assert.notEqual(rendered.key, key)
  assert.equal(copy.json, undefined)
  assert.equal(cache.bytes, 0)
})

test('renderings: never above the limit, and the charged size equals a recount', () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(fc.constant('read' as const), fc.nat(40), fc.nat(3), fc.nat(5300)) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('call' as const), fc.nat(40), fc.nat(0), fc.nat(5300)) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('charge' as const), fc.nat(40), fc.nat(0), fc.nat(2000)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('drop' as const), fc.nat(40), fc.nat(0), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('limit' as const), fc.nat(0), fc.nat(0), fc.nat(LIMIT)) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const cache = new Renderings(LIMIT)
      const all = Array.from({ length: 41 }, () => cache.make())
      const charged = new Map<object, number>()
      for (const [what, who, slot, size] of steps) {
        const rendered = all[who]
        assert.ok(rendered)
        if (what === 'read') read(rendered, SLOTS[slot] ?? 'json', size)
        else if (what === 'call') {
          rendered.touch().nextCaller({ start: new Uint8Array(), parent: undefined, refcnt: 1, tid: 1 })
          if (size % 3 > 0) rendered.keepCaller(new Uint8Array(size))
        } else if (what === 'drop') rendered.drop()
        else if (what === 'limit') cache.limit = size
        else {
          const before = rendered.bytes
          const { key } = rendered.touch()
          rendered.charge(size)
          if (rendered.key === key && rendered.bytes > before) charged.set(key, (charged.get(key) ?? 0) + size)
        }
        assert.ok(cache.bytes <= cache.limit, `${cache.bytes} of ${cache.limit}`)
        const recount = all.reduce((sum, each) => sum + kept(each) + (charged.get(each.key) ?? 0), 0)
        assert.equal(cache.bytes, recount)
      }
    }),
    { numRuns: 300 },
  )
})
