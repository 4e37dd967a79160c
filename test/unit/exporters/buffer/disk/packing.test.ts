/** Payloads compressed on disk: callers of the spool see no difference but the space. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { nodeCompressors } from '../../../../../exporters/runtime/compression.ts'
import type { Compress } from '../../../../../exporters/runtime/compression.ts'
import { FIRST_FRAME, FRAME_HEAD } from '../../../../../exporters/buffer/disk/format/format.ts'
import { copy } from '../../../../../exporters/buffer/disk/inspect/inspect.ts'
import { pack, unpack, unpackedBytes } from '../../../../../exporters/buffer/disk/format/packing.ts'
import { Memory } from '../../../../../exporters/contract/encoded.ts'
import type { ReadFrame } from '../../../../../exporters/buffer/disk/place.ts'
import type { SpoolFrame } from '../../../../../exporters/buffer/disk/format/segment.ts'
import type { Spool } from '../../../../../exporters/buffer/disk/spool.ts'
import { numbers } from '../../support/lines.ts'
import { Bench, DIR, frame } from './support.ts'

const { zstd } = nodeCompressors
const RAW = 4000

/** Frames `from` up to `to`, each with this number of similar bytes. */
const alike = (from: number, to: number): SpoolFrame[] => numbers(from, to).map((id) => frame(id, 1, RAW))

const idsOf = (payloads: readonly Buffer[]): number[] =>
  payloads.map((payload) => Number(/^#(\d+) /.exec(payload.toString('latin1', 0, 20))?.[1]))

async function readAll(spool: Spool, maxBytes: number): Promise<number[][]> {
  const batches: number[][] = []
  for (;;) {
    const read = await spool.next(maxBytes)
    if (read.status !== 'frames') return batches
    for (const { payload } of read.frames) assert.equal(payload.length, RAW)
    batches.push(idsOf(read.frames.map(({ payload }) => payload)))
    spool.ack(read.token)
  }
}

for (const [name, parts] of [
  ['one part', [Buffer.alloc(5000, 'ab')]],
  ['several parts', [Buffer.alloc(700, 'x'), Buffer.alloc(0), Buffer.alloc(300, 'y')]],
] as const) {
  test(`packing: ${name} becomes smaller and reads back unchanged`, async () => {
    const packed = await pack({ parts, count: 3, first: 7, last: 9 }, zstd)
    const stored = Buffer.concat(packed.parts)
    const whole = Buffer.concat(parts)
    assert.ok(stored.length < whole.length / 10)
    assert.deepEqual([packed.packed, packed.count, packed.first, packed.last], [true, 3, 7, 9])
    assert.equal(unpackedBytes(stored, true), whole.length)
    assert.deepEqual(unpack(stored, true), whole)
  })
}

for (const [name, payload, compress] of [
  ['little', Buffer.from('abc'), zstd],
  ['a payload that does not get smaller', randomBytes(5000), zstd],
  ['more than 64 MiB', Buffer.alloc((64 << 20) + 1), zstd],
  [
    'a payload on which the compressor fails',
    Buffer.alloc(5000),
    (): Promise<Buffer> => Promise.reject(new Error('no memory')),
  ],
] as const satisfies ReadonlyArray<readonly [string, Buffer, Compress]>) {
  test(`packing: ${name} is stored unchanged`, async () => {
    const given = { parts: [payload], count: 1, first: 0, last: 0 }
    const kept = await pack(given, compress)
    assert.deepEqual(kept, given)
    assert.notEqual(kept.parts[0], payload, 'its own bytes')
    assert.equal(unpack(payload, false), payload)
  })
}

for (const [name, length, freed] of [
  ['has its memory for itself gives it back', 100_000, true],
  ['is as long as the pool gives it back', Buffer.poolSize - 1, true],
  ['is in the pool does not free its neighbours', 100, false],
] as const) {
  test(`packing: a payload that ${name}`, async () => {
    const packed = Buffer.concat(
      (await pack({ parts: [Buffer.alloc(length, 'ab')], count: 1, first: 0, last: 0 }, zstd)).parts,
    )
    const whole = unpack(packed, true)
    assert.equal(whole.buffer.byteLength, freed ? length + 1 : Buffer.poolSize, 'one allocation, no larger than needed')
    new Memory(whole, 1).done()
    assert.equal(whole.length, freed ? 0 : length)
  })
}

test('packing: unpacking bytes that are not packed gives nothing', async () => {
  const packed = Buffer.concat((await pack({ parts: [Buffer.alloc(5000)], count: 1, first: 0, last: 0 }, zstd)).parts)
  const longer = Buffer.from(packed)
  longer.writeUInt32LE(5001)
  const shorter = Buffer.from(packed)
  shorter.writeUInt32LE(4999)
  for (const stored of [Buffer.alloc(0), Buffer.alloc(3), randomBytes(100), packed.subarray(0, 12), longer, shorter]) {
    assert.equal(unpack(stored, true).length, 0)
  }
})

test('packing: a payload that unpacks to 512 MiB is refused before it takes memory', async () => {
  const mebibyte = Buffer.alloc(1 << 20)
  const zeros = await zstd(Array.from({ length: 512 }, () => mebibyte))
  const stored = Buffer.concat([Buffer.alloc(4), zeros])
  stored.writeUInt32LE(512 << 20)
  const before = process.resourceUsage().maxRSS
  assert.equal(unpack(stored, true).length, 0)
  assert.ok(process.resourceUsage().maxRSS - before < 10 << 10)
})

test('packing: a spool takes a tenth of the space, and keeps the order over concurrent appends and a restart', async () => {
  const bench = new Bench()
  const [first, second] = [await bench.open({ segment_size: 2000 }, zstd), alike(0, 200)]
  // Concurrently: the large ones take longer to pack.
  const results = await Promise.all(numbers(0, 40).map((i) => first.append(second.slice(i * 5, i * 5 + 5))))
  assert.ok(results.every(({ status }) => status === 'written'))
  assert.deepEqual(
    results.map(({ from }) => from),
    numbers(0, 40).map((i) => i * 5),
  )
  assert.ok(first.stats().bytes < (200 * RAW) / 10, `${first.stats().bytes} bytes`)
  await first.close()
  await using again = await bench.open({ segment_size: 2000 }, zstd)
  assert.deepEqual((await readAll(again, RAW * 7)).flat(), numbers(0, 200))
  assert.equal(again.stats().imbalance, 0)
})

test('packing: reads are bounded by the unpacked size', async () => {
  const bench = new Bench()
  await using spool = await bench.open({ segment_size: 1 << 20 }, zstd)
  await spool.append(alike(0, 20))
  const batches = await readAll(spool, RAW * 7 + 100)
  assert.deepEqual(
    batches.map(({ length }) => length),
    [7, 7, 6],
  )
  assert.deepEqual(batches.flat(), numbers(0, 20))
})

test('packing: packed and plain frames can be mixed, for every reader', async () => {
  const bench = new Bench()
  const packing = await bench.open({ segment_size: 1 << 20 }, zstd)
  await packing.append(alike(0, 3))
  await packing.close()
  const plain = await bench.open({ segment_size: 1 << 20 })
  await plain.append(alike(3, 6))
  const copied: Buffer[] = []
  const events = await copy(DIR, bench.disk.files, { from: 0, to: 6 }, ({ payload }) =>
    Promise.resolve(void copied.push(payload)),
  )
  assert.deepEqual([events, idsOf(copied)], [6, numbers(0, 6)])
  assert.deepEqual((await readAll(plain, 1 << 20)).flat(), numbers(0, 6))
  await plain.close()
})

test('packing: a close waits for frames that are being packed', async () => {
  const bench = new Bench()
  const spool = await bench.open({ segment_size: 1 << 20 }, zstd)
  const appended = spool.append(alike(0, 5))
  await spool.close()
  assert.equal((await appended).status, 'written')
  await using again = await bench.open({ segment_size: 1 << 20 })
  assert.deepEqual((await readAll(again, 1 << 20)).flat(), numbers(0, 5))
})

test('packing: a flipped bit costs one packed frame, counted', async () => {
  const bench = new Bench()
  const spool = await bench.open({ segment_size: 1 << 20 }, zstd)
  await spool.append(alike(0, 5))
  await spool.close()
  const [path = ''] = bench.segments()
  bench.edit(path, (bytes) => {
    const middle = Math.floor(bytes.length / 2)
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    return bytes
  })
  await using again = await bench.open()
  const read = (await readAll(again, 1 << 20)).flat()
  assert.equal(read.length, 4)
  assert.deepEqual([again.stats().lost.corrupt, again.stats().imbalance], [1, 0])
})

for (const compress of [undefined, zstd]) {
  test(`packing: any flipped bit in the header of a ${compress === undefined ? 'plain' : 'packed'} frame never yields wrong data`, async () => {
    const bench = new Bench()
    const spool = await bench.open({}, compress)
    await spool.append(alike(0, 1))
    await spool.close()
    const [path = ''] = bench.segments()
    const whole = Buffer.from(bench.disk.bytesOf(path))
    for (let bit = 0; bit < FRAME_HEAD * 8; bit++) {
      const bytes = Buffer.from(whole)
      const at = FIRST_FRAME + (bit >>> 3)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
      const found: ReadFrame[] = []
      const other = new Bench()
      other.disk.put(path, bytes)
      await copy(DIR, other.disk.files, { from: 0, to: 9 }, (one) => Promise.resolve(void found.push(one)))
      assert.deepEqual(found, [], `bit ${bit}`)
    }
  })
}
