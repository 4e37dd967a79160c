/** The bytes of the process table: the accounting is exact, texts count once, and the table never exceeds its limit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Image } from '../../../../collector/process/image.ts'
import { textBytes } from '../../../../collector/process/image.ts'
import type { ProcessTable } from '../../../../collector/process/table.ts'
import { exec, fork, newTable, scanned } from '../support/processes.ts'

const KIB = 1024
const GRACE_MS = 5_000
const sum = (bytes: ProcessTable['budget']['bytes']): number => bytes.images + bytes.texts + bytes.renderings

/** Every image that the table keeps alive. */
function alive(table: ProcessTable): Set<Image> {
  const found = new Set<Image>()
  for (const latest of table.latest()) {
    for (let image: Image | undefined = latest; image !== undefined; image = image.previous) {
      found.add(image)
      if (image.parent !== undefined) found.add(image.parent)
    }
  }
  return found
}

/** Their size, counted again. Images of forks have the texts of their parents: the same strings. */
function recount(table: ProcessTable): { images: number; texts: number } {
  const images = alive(table)
  const texts = new Set([...images].map((image) => image.texts))
  const one = newTable().budget.bytes.images
  let bytes = 0
  for (const image of images) {
    const { arguments: words, argv, binary, cwd, docker } = image.process
    assert.deepEqual([words, argv], [image.texts.arguments, image.texts.argv])
    if (texts.delete(image.texts))
      bytes += [words, argv, binary, cwd, docker].reduce((n, text) => n + textBytes(text), 0)
  }
  return { images: images.size * one, texts: bytes }
}

function filled(table: ProcessTable, processes: number, words: string): void {
  table.addScanned(scanned(1, 0))
  for (let i = 0; i < processes; i++) {
    table.exec(exec(1000 + i, 1_000_000 + i, 1, 10_000_000, { argv: ['x', `${i} ${words}`] }), 0)
    table.trim()
  }
}

test('budget: a text shared by a fork and its parent counts once', () => {
  const table = newTable()
  table.addScanned(scanned(1, 0))
  const before = table.budget.bytes
  table.exec(exec(2, 5, 1, 10_000_000, { argv: ['x', 'a'.repeat(16_000)] }), 0)
  for (let i = 0; i < 1000; i++) table.fork(fork(10 + i, 6 + i, 2, 5), 0)
  const { texts } = table.budget.bytes
  assert.ok(texts - before.texts > 16_000 && texts - before.texts < 17_000, `${texts}`)
  // The texts stay as long as one image uses them.
  table.exit(2, 5, 0, 0)
  table.sweep(GRACE_MS)
  assert.equal(table.budget.bytes.texts, texts)
  for (let i = 0; i < 1000; i++) table.exit(10 + i, 6 + i, 0, 0)
  table.sweep(GRACE_MS)
  assert.deepEqual(table.budget.bytes, before)
})

test('budget: the longest arguments are cut first, and flagged', () => {
  const table = newTable(2048 * KIB)
  filled(table, 100, 'b'.repeat(2000))
  filled(table, 400, 'ü'.repeat(8000))
  const { arguments: cut, images } = table.budget.evictions
  assert.ok(cut > 0 && images === 0, `${cut} cut, ${images} images gone`)
  const found = table.find(1010, 0, 0)?.process
  assert.ok(found !== undefined && found.arguments.length <= 4096)
  assert.match(found.flags, /\btruncArgs\b/)
  assert.ok(found.arguments.startsWith(' "10 ü'))
  assert.ok(sum(table.budget.bytes) <= 2048 * KIB)
})

test('budget: a fork of a process with cut arguments has the flag too', () => {
  const table = newTable(1024 * KIB)
  filled(table, 300, 'b'.repeat(8000))
  const [image] = [...table.latest()].filter(({ process }) => process.flags.includes('truncArgs'))
  assert.ok(image)
  const child = table.fork(fork(7, 7, image.process.pid, image.startLo), 0)
  assert.equal(child?.process.arguments, image.process.arguments)
  assert.match(child?.process.flags ?? '', /^execve truncArgs/)
})

test('budget: then ended images are removed, then the oldest; new ones stay', () => {
  const table = newTable(1024 * KIB)
  table.addScanned(scanned(1, 0))
  for (let i = 0; i < 200; i++) table.exec(exec(1000 + i, 1_000_000 + i, 1, 10_000_000), 0)
  for (let i = 0; i < 200; i++) table.exit(1000 + i, 1_000_000 + i, 0, 0)
  let before = 0
  for (let i = 0; i < 5000; i++) {
    table.exec(exec(2000 + i, 2_000_000 + i, 1, 10_000_000), 0)
    table.trim()
    const endedLeft = table.find(1000, 0, 0) === undefined && table.find(1199, 0, 0) !== undefined
    if (endedLeft && ++before > 0)
      assert.notEqual(table.find(1, 0, 0), undefined, 'ended images must be removed before the oldest')
    assert.ok(sum(table.budget.bytes) <= 1024 * KIB)
  }
  assert.ok(before > 0)
  assert.equal(table.find(2000, 0, 0), undefined)
  assert.notEqual(table.find(6999, 0, 0), undefined)
  assert.equal(table.find(0, 0, 0)?.process.binary, '<kernel>')
  assert.equal(table.findOrUnknown(2000, 2_000_000, 0).process.flags, 'unknown')
  assert.equal(table.exit(2000, 2_000_000, 0, 0), undefined)
  assert.ok(table.budget.evictions.images > 3000)
})

test('budget: an eighth is reserved for renderings', () => {
  const table = newTable(1024 * KIB)
  filled(table, 5000, '')
  const { rendered } = table.find(5999, 0, 0)?.process ?? assert.fail()
  rendered.touch().keep('json', new Uint8Array(1000))
  assert.notEqual(rendered.json, undefined)
})

test('budget: 100,000 ordinary processes fit into the default', () => {
  const table = newTable()
  table.addScanned(scanned(1, 0))
  for (let i = 0; i < 100_000; i++) {
    const texts = {
      filename: '/usr/lib/systemd/systemd-executor',
      argv: ['worker', '--id', String(i), '--config', '/etc/worker/config.yaml', '--log-level=info'],
      cwd: '/var/lib/worker/instances',
    }
    table.exec(exec(1000 + i, 1_000_000 + i, 1, 10_000_000, texts), 0)
  }
  table.trim()
  assert.deepEqual(table.budget.evictions, { renderings: 0, arguments: 0, images: 0 })
  assert.ok(sum(table.budget.bytes) < 112 * KIB * KIB)
})

test('budget: the accounting equals a recount, and never exceeds the limit', () => {
  const pid = fc.integer({ min: 1, max: 30 })
  const length = fc.oneof(fc.nat(100), fc.nat(16_000))
  const step = fc.oneof(
    fc.tuple(fc.constant('fork' as const), pid, pid),
    fc.tuple(fc.constant('exec' as const), pid, length),
    fc.tuple(fc.constant('exit' as const), pid, fc.nat(0)),
    fc.tuple(fc.constant('adopt' as const), pid, length),
    fc.tuple(fc.constant('render' as const), pid, length),
    fc.tuple(fc.constant('sweep' as const), fc.nat(3000), fc.nat(0)),
  )
  const budget = fc.constantFrom(24 * KIB, 64 * KIB, 256 * KIB)
  fc.assert(
    fc.property(budget, fc.array(step, { maxLength: 200 }), (bytes, steps) => {
      const table = newTable(bytes)
      let now = 0
      let start = 1
      table.addScanned(scanned(1, 0))
      for (const [what, a, b] of steps) {
        const known = table.find(a, 0, 0)
        start++
        if (what === 'fork') table.fork(fork(a, start, b, 0), now)
        else if (what === 'exec') table.exec(exec(a, start, a, 0, { argv: ['x', 'y'.repeat(b)] }), now)
        else if (what === 'adopt')
          table.adopt(scanned(a, 1, { arguments: 'z'.repeat(b) }), BigInt(start), 1, { lo: 0, hi: 0 }, now)
        else if (what === 'exit') table.exit(a, 0, 0, now)
        else if (what === 'sweep') table.sweep((now += a))
        else if (known !== undefined) {
          known.process.rendered.touch().keep('json', new Uint8Array(b))
        }
        table.trim()
        assert.ok(sum(table.budget.bytes) <= bytes, `${sum(table.budget.bytes)} of ${bytes}`)
        assert.deepEqual({ images: table.budget.bytes.images, texts: table.budget.bytes.texts }, recount(table))
      }
    }),
    { numRuns: 200 },
  )
})
