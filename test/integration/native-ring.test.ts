import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { openRing, watchRing } from '../../native/index.ts'
import type { BpfObject, RingReader } from '../../native/types.ts'
import { memoryOf } from '../support/memory.ts'
import { SYMBOL, bytesOf, cannotAttach, compileFixture, hit, openFixture, sumOf, until } from './native-fixture.ts'

const holder = fileURLToPath(new URL('native-holder.ts', import.meta.url))
const skip = cannotAttach()
if (skip !== false) console.log(`native-ring: skipped: ${skip}`)
const path = skip === false ? compileFixture() : ''
const RECORD = 32
const LARGEST = 65_536
/** Bytes of a ring that are mapped at a time. */
const WINDOW = 1 << 20

/** Bytes of maps that this process has mapped. */
function mappedBytes(): number {
  const ranges = readFileSync('/proc/self/maps', 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) .*anon_inode:bpf-map$/gm)
  return [...ranges].reduce((sum, [, from, to]) => sum + Number(`0x${to}`) - Number(`0x${from}`), 0)
}

/** Reads until the ring is empty; the `n` of each record. */
function drain(ring: RingReader, into: Buffer = Buffer.alloc(1 << 20)): bigint[] {
  const numbers: bigint[] = []
  for (let got = ring.read(into); got > 0; got = ring.read(into)) {
    for (let at = 0; at < got; at += RECORD) numbers.push(into.readBigUInt64LE(at + 24))
  }
  return numbers
}

/** An object whose program writes one record for each hit of this process, and its ring. Closes everything that `use` leaves open. */
async function withRing(
  options: { constants?: Record<string, Uint8Array>; ringBytes?: number; tgid?: number },
  use: (ring: RingReader, object: BpfObject) => void | Promise<void>,
): Promise<void> {
  using object = await openFixture(path, 'kprobe', options)
  using link = await object.attach('handle_kprobe', [SYMBOL])
  using map = object.map('ring')
  using ring = openRing(map)
  assert.equal(link.kind, 'kprobe')
  await use(ring, object)
}

describe('native: ring reader', { skip }, () => {
  it('returns records in order, over many wraps of the ring', () =>
    withRing({ ringBytes: LARGEST }, (ring, object) => {
      using counts = object.map('counts')
      const numbers: bigint[] = []
      for (let round = 0; round < 20; round++) {
        hit(500)
        numbers.push(...drain(ring))
      }
      assert.equal(numbers.length, sumOf(counts, 0))
      assert.equal(numbers.length, 10_000)
      assert.ok(numbers.every((n, index) => n === BigInt(index)))
      assert.equal(ring.available(), 0)
      assert.equal(ring.malformed(), 0)
    }))

  it('maps a part of a large ring, and reads all of it', () =>
    withRing({ ringBytes: 4 << 20 }, (ring) => {
      const numbers: bigint[] = []
      for (let round = 0; round < 4; round++) {
        hit(40_000)
        numbers.push(...drain(ring))
        const bytes = mappedBytes()
        assert.ok(bytes > 0 && bytes < 1.5 * WINDOW, `${bytes} bytes are mapped`)
      }
      assert.equal(numbers.length, 160_000)
      assert.ok(numbers.every((n, index) => n === BigInt(index)))
    }))

  it('loses no record if the kernel refuses to map more of the ring', () =>
    withRing({ ringBytes: 4 << 20 }, async (ring) => {
      hit(80_000)
      const into = Buffer.alloc(2 * LARGEST)
      let records = 0
      const read = (): boolean => {
        const bytes = ring.read(into)
        records += bytes / RECORD
        return bytes > 0
      }
      const all = (): void => {
        while (read());
      }
      // A process of its own: this one can start none with the limit.
      using shell = spawn('sh', ['-c', `while read as; do prlimit --pid ${process.pid} --as=$as:unlimited; echo; done`])
      const limit = async (bytes: number | 'unlimited'): Promise<void> => {
        shell.stdin.write(`${bytes}\n`)
        await once(shell.stdout, 'data')
      }
      await limit('unlimited')
      read()
      await limit(memoryOf('self').virtualBytes - 16 * WINDOW)
      assert.throws(all, { code: 'MAP_FAILED', message: /cannot map ring "ring" into memory/ })
      await limit('unlimited')
      shell.stdin.end()
      all()
      assert.equal(records, 80_000)
    }))

  it('a full ring refuses and counts records, and accepts new ones once it is read', () =>
    withRing({ ringBytes: LARGEST }, (ring, object) => {
      using counts = object.map('counts')
      hit(3000)
      const numbers = drain(ring)
      assert.ok(sumOf(counts, 1) > 0, 'the ring refused some')
      assert.equal(numbers.length + sumOf(counts, 1), sumOf(counts, 0))
      const refused = sumOf(counts, 1)
      hit(10)
      assert.equal(drain(ring).length, 10)
      assert.equal(sumOf(counts, 1), refused)
    }))

  it('skips discarded records', () =>
    withRing({ constants: { discard_every: bytesOf(3) } }, (ring) => {
      hit(300)
      const numbers = drain(ring)
      assert.equal(numbers.length, 200)
      assert.ok(numbers.every((n) => n % 3n !== 2n))
    }))

  it('stops when less than 64 KiB of the buffer is left, and continues there', () =>
    withRing({}, (ring) => {
      hit(100)
      const waiting = ring.available()
      const into = Buffer.alloc(LARGEST + 10 * RECORD)
      assert.equal(ring.read(into), 11 * RECORD)
      assert.equal(into.readBigUInt64LE(10 * RECORD + 24), 10n)
      assert.equal(ring.available(), waiting - 11 * (RECORD + 8))
      assert.equal(drain(ring)[0], 11n)
    }))

  it('refuses a buffer below 64 KiB without losing a record', () =>
    withRing({}, (ring) => {
      hit(1)
      const waiting = ring.available()
      for (const size of [0, RECORD, LARGEST - 1]) {
        assert.throws(() => ring.read(Buffer.alloc(size)), {
          code: 'BAD_ARGUMENT',
          message: new RegExp(`got ${size}$`),
        })
      }
      assert.throws(() => Reflect.apply(ring.read, ring, ['x']), {
        code: 'BAD_ARGUMENT',
        message: /Uint8Array, got "x"/,
      })
      assert.equal(ring.available(), waiting)
      assert.ok(drain(ring).length > 0)
    }))

  it('keeps a record larger than the buffer for a larger buffer', () =>
    withRing({ constants: { big: bytesOf(1) } }, (ring) => {
      hit(1)
      assert.throws(() => ring.read(Buffer.alloc(LARGEST)), {
        code: 'BAD_ARGUMENT',
        message: /record of 100000 bytes, got 65536/,
      })
      assert.equal(ring.read(Buffer.alloc(200_000)), 100_000)
    }))

  const claims = [
    { name: 'a size below the length: cut and padded to 8', claim: 13, each: 16, malformed: false },
    { name: 'a size of 4: the minimum', claim: 4, each: 8, malformed: false },
    { name: 'a size below 4', claim: 3, each: 0, malformed: true },
    { name: 'a size above the length', claim: 33, each: 0, malformed: true },
    { name: 'a huge size', claim: 0xffff_ffff, each: 0, malformed: true },
  ]
  for (const { name, claim, each, malformed } of claims) {
    it(`record with ${name}`, () =>
      withRing({ constants: { claim: bytesOf(claim) } }, (ring, object) => {
        using counts = object.map('counts')
        hit(3)
        const hits = 3
        assert.equal(sumOf(counts, 0), hits)
        const into = Buffer.alloc(LARGEST * 2, 0xff)
        assert.equal(ring.read(into), each * hits)
        assert.equal(ring.malformed(), malformed ? hits : 0)
        assert.equal(ring.available(), 0)
        if (claim === 13) assert.equal(into.readUIntBE(13, 3), 0, 'padding is zero')
      }))
  }

  it('counts every record of a process that writes while it is read', async () => {
    const child = spawn(process.execPath, [holder, path, 'hit', '20000'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    await withRing({ tgid: child.pid ?? 0, ringBytes: LARGEST }, async (ring, object) => {
      using counts = object.map('counts')
      const ended = once(child, 'exit')
      child.stdin.write('go')
      const numbers: bigint[] = []
      while (child.exitCode === null) {
        numbers.push(...drain(ring))
        await setImmediate()
      }
      await ended
      numbers.push(...drain(ring))
      assert.equal(sumOf(counts, 0), 20_000)
      assert.equal(numbers.length + sumOf(counts, 1), sumOf(counts, 0))
      assert.ok(
        numbers.every((n, index) => index === 0 || n > (numbers[index - 1] ?? n)),
        'in order',
      )
    })
  })
})

/** Turns of the event loop; each polls its descriptors. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}

describe('native: ring watch', { skip }, () => {
  const FORCE = { wakeup: bytesOf(2, 8) }
  const NO_WAKEUP = { wakeup: bytesOf(1, 8) }

  it('calls back once for a wakeup, not again while nothing is read, and again for the next', () =>
    withRing({ constants: FORCE }, async (ring, object) => {
      using map = object.map('ring')
      let calls = 0
      using watch = watchRing(map, () => calls++)
      assert.ok(watch)
      hit(1)
      await until('the first call', () => calls === 1)
      await turns(50)
      assert.equal(calls, 1)
      hit(1)
      await until('the second call', () => calls === 2)
      await turns(50)
      assert.equal(calls, 2)
      assert.equal(drain(ring).length, 2)
    }))

  it('calls back at once if records are waiting', () =>
    withRing({ constants: NO_WAKEUP }, async (ring, object) => {
      using map = object.map('ring')
      hit(1)
      let calls = 0
      using watch = watchRing(map, () => calls++)
      assert.ok(watch)
      await until('the call', () => calls === 1)
      assert.ok(drain(ring).length > 0)
    }))

  it('does not call back for records without wakeup, which can still be read', () =>
    withRing({ constants: NO_WAKEUP }, async (ring, object) => {
      using map = object.map('ring')
      let calls = 0
      using watch = watchRing(map, () => calls++)
      assert.ok(watch)
      hit(5)
      await turns(50)
      assert.equal(calls, 0)
      assert.equal(drain(ring).length, 5)
    }))

  it("with the kernel's own wakeups, a reader that empties the ring at each call misses nothing", async () => {
    const child = spawn(process.execPath, [holder, path, 'hit', '5000'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    await withRing({ tgid: child.pid ?? 0 }, async (ring, object) => {
      using map = object.map('ring')
      using counts = object.map('counts')
      let records = 0
      using watch = watchRing(map, () => {
        records += drain(ring).length
      })
      assert.ok(watch)
      child.stdin.write('go')
      await once(child, 'exit')
      await until('the last record', () => records === sumOf(counts, 0))
      assert.equal(records, 5000)
    })
  })

  it('makes no call after close, even if closed in the callback or after the map', () =>
    withRing({ constants: FORCE }, async (ring, object) => {
      const map = object.map('ring')
      let calls = 0
      const watch = watchRing(map, () => {
        calls++
        watch.close()
      })
      map.close()
      hit(1)
      await until('the call', () => calls === 1)
      hit(1)
      await turns(50)
      assert.equal(calls, 1)
      watch.close()
      assert.ok(drain(ring).length > 0)
    }))

  it('refuses a map that is not a ring, and a callback that is not a function', () =>
    withRing({}, (_, object) => {
      using table = object.map('table')
      using map = object.map('ring')
      assert.throws(() => watchRing(table, () => undefined), {
        code: 'BAD_ARGUMENT',
        message: /expected a ring buffer/,
      })
      assert.throws(() => Reflect.apply(watchRing, undefined, [map, 1]), {
        code: 'BAD_ARGUMENT',
        message: /a function, got 1/,
      })
    }))

  it('lets the process end when closed', async () => {
    const child = spawn(process.execPath, [holder, path, 'close'], { stdio: 'inherit' })
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  it('an exception in the callback is an uncaught exception', async () => {
    const child = spawn(process.execPath, [holder, path, 'throw'], { stdio: ['ignore', 'ignore', 'pipe'] })
    const stderr: Buffer[] = []
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes))
    const [code] = await once(child, 'close')
    assert.equal(code, 1)
    assert.match(Buffer.concat(stderr).toString(), /thrown in the callback/)
  })
})
