import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { numbers } from '../../support/lines.ts'
import { Bench, closed, DIR, drain, fill, frame } from './support.ts'

test('spool: returns the appended frames, in order, over many segments', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, numbers(0, 20))
  assert.ok(spool.stats().segments > 4)
  assert.deepEqual(await drain(spool), numbers(0, 20))
  const { events, acked, imbalance } = spool.stats()
  assert.deepEqual({ events, acked, imbalance }, { events: 0, acked: 20, imbalance: 0 })
})

test('spool: a reader at the end sees whole frames only, and the rest once it is written', async () => {
  const spool = await new Bench().open()
  assert.deepEqual(await drain(spool), [])
  await fill(spool, [1, 2])
  assert.deepEqual(await drain(spool), [1, 2])
  await fill(spool, [3])
  assert.deepEqual(await drain(spool), [3])
})

test('spool: next respects maxBytes, but returns a larger frame alone', async () => {
  const spool = await new Bench().open()
  await spool.append([frame(1), frame(2), frame(3), frame(4, 1, 5000), frame(5)])
  const sizes: number[] = []
  for (let result = await spool.next(250); result.status === 'frames'; result = await spool.next(250)) {
    sizes.push(result.frames.length)
  }
  assert.deepEqual(sizes, [2, 1, 1, 1])
})

test('spool: next respects maxEvents, but returns a frame of more events alone', async () => {
  const spool = await new Bench().open()
  await spool.append([frame(1, 2), frame(3, 2), frame(5, 3), frame(8, 9), frame(17, 1)])
  const counts: number[] = []
  for (let result = await spool.next(1 << 20, 5); result.status === 'frames'; result = await spool.next(1 << 20, 5)) {
    counts.push(result.frames.reduce((sum, { count }) => sum + count, 0))
  }
  assert.deepEqual(counts, [4, 3, 9, 1])
})

test('spool: claimed events are not read, and are settled when their token is acked', async () => {
  const spool = await new Bench().open()
  await fill(spool, [1, 2, 3])
  const claimed = spool.claim(0, 2)
  assert.ok(claimed)
  assert.equal(spool.claim(0, 2), undefined, 'not twice')
  assert.deepEqual(await drain(spool), [3])
  assert.equal(spool.stats().settled, 0)
  assert.equal(spool.claim(1, 2), undefined, 'not what is read')
  spool.ack(claimed)
  const { events, acked, settled, imbalance } = spool.stats()
  assert.deepEqual({ events, acked, settled, imbalance }, { events: 0, acked: 3, settled: 3, imbalance: 0 })
})

test('spool: the cursor advances only over acked frames without a gap', async () => {
  const spool = await new Bench().open()
  await fill(spool, [1, 2, 3])
  const tokens = []
  for (let i = 0; i < 3; i++) {
    const result = await spool.next(1)
    if (result.status === 'frames') tokens.push(result.token)
  }
  const [first, second, third] = tokens
  assert.ok(first && second && third)
  spool.ack(third)
  spool.ack(second)
  assert.equal(spool.stats().settled, 0)
  spool.ack(first)
  assert.equal(spool.stats().settled, 3)
})

test('spool: a second ack of a token has no effect', async () => {
  const spool = await new Bench().open()
  await fill(spool, [1])
  const read = await spool.next(1)
  assert.ok(read.status === 'frames')
  spool.ack(read.token)
  spool.ack(read.token)
  assert.deepEqual([spool.stats().acked, spool.stats().imbalance], [1, 0])
})

test('spool: durable follows the syncs of the interval, not the appends', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, [1, 2])
  assert.equal(spool.stats().durable, 0)
  await bench.clock.turn(199)
  assert.equal(spool.stats().durable, 0)
  await bench.clock.turn(1)
  assert.equal(spool.stats().durable, 2)
})

test('spool: policy batch makes each append durable without a timer, never makes none', async () => {
  for (const [fsync, want] of [
    ['batch', 1],
    ['never', 0],
  ] as const) {
    const bench = new Bench()
    const spool = await bench.open({ fsync })
    await fill(spool, [1])
    await bench.clock.turn(0)
    assert.equal(spool.stats().durable, want)
  }
})

test('spool: segments are deleted only once a cursor after them is durable, and stay if it cannot be stored', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, numbers(0, 20))
  assert.equal(await spool.sync(), undefined)
  await drain(spool)
  const before = bench.segments()
  assert.equal(before.length, spool.stats().segments)
  bench.disk.faults.sync = 1
  await bench.clock.turn(250)
  assert.ok(bench.segments().includes(before[0] ?? ''), 'deleted although the cursor is not durable')
  bench.disk.faults.sync = 0
  await bench.clock.turn(60_000)
  assert.ok(bench.segments().length <= 1)
})

test('spool: at max_bytes the oldest segment is deleted, and its events are reported exactly', async () => {
  const bench = new Bench()
  const spool = await bench.open({ max_size: 2400 })
  await fill(spool, numbers(0, 30))
  const rest = await drain(spool)
  assert.ok(bench.losses.length > 0)
  const lost = bench.losses.flatMap(({ reason, from, to, events, marks }) => {
    assert.deepEqual([reason, events], ['spool_full', to - from])
    assert.deepEqual(marks, { epoch: 'e', first: from, last: to - 1 })
    return numbers(from, to)
  })
  assert.deepEqual([...lost, ...rest], numbers(0, 30))
  assert.equal(spool.stats().imbalance, 0)
})

test('spool: a frame that never fits is refused and affects no other', async () => {
  const bench = new Bench()
  const spool = await bench.open({ max_size: 2400 })
  await fill(spool, [1, 2])
  assert.deepEqual(await spool.append([frame(3, 1, 5000)]), { status: 'full', why: 'max_bytes', frames: 0, from: 2 })
  assert.deepEqual(await drain(spool), [1, 2])
})

test('spool: frames that the caller still holds are not counted as dropped when their segment is deleted', async () => {
  const bench = new Bench()
  const spool = await bench.open({ max_size: 2400 })
  await fill(spool, [0])
  const out = await spool.next(1)
  assert.ok(out.status === 'frames')
  await fill(spool, numbers(1, 30))
  assert.equal(bench.losses[0]?.from, 1)
  spool.ack(out.token)
  assert.deepEqual([spool.stats().acked, spool.stats().imbalance], [1, 0])
})

test('spool: events older than max_age expire, newer ones stay', async () => {
  const bench = new Bench()
  const spool = await bench.open({ max_age: 8000 })
  await fill(spool, [1, 2])
  await bench.clock.turn(5000)
  await fill(spool, [3])
  await bench.clock.turn(4000)
  assert.deepEqual(await drain(spool), [3])
  assert.deepEqual(
    bench.losses.map(({ reason, events }) => [reason, events]),
    [['expired', 2]],
  )
})

test('spool: the reserve of the disk is kept by dropping, or by refusing if dropping is not enough', async () => {
  const bench = new Bench()
  bench.disk.faults.capacity = 6000
  const spool = await bench.open({ min_free: 3000 })
  for (const id of numbers(0, 40)) {
    await spool.append([frame(id)])
    await bench.clock.turn(1000)
    bench.disk.nowMs = bench.clock.wallMs()
  }
  assert.ok(6000 - bench.disk.used >= 3000 - 200, `${bench.disk.used} bytes used`)
  assert.ok(spool.stats().lost.spool_full > 0)
  const held = spool.stats().events
  bench.disk.put('/other', Buffer.alloc(2900))
  await bench.clock.turn(1000)
  assert.deepEqual(await spool.append([frame(99)]), { status: 'full', why: 'min_free', frames: 0, from: 40 })
  assert.equal(spool.stats().events, held, 'old events were dropped without effect')
})

test('spool: a full disk is a result, leaves no torn frame, and appends work again once there is space', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, [1])
  bench.disk.faults.capacity = bench.disk.used + 50
  assert.deepEqual(await spool.append([frame(2)]), { status: 'full', why: 'no_space', frames: 0, from: 1 })
  bench.disk.faults.capacity = Infinity
  await fill(spool, [3])
  assert.deepEqual(await drain(spool), [1, 3])
})

test('spool: on a disk without a free byte, delivered segments are deleted', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, numbers(0, 20))
  assert.equal(await spool.sync(), undefined)
  bench.disk.faults.capacity = bench.disk.used
  assert.deepEqual(await drain(spool), numbers(0, 20))
  await bench.clock.turn(250)
  assert.ok(bench.segments().length <= 1, `${bench.segments().length} segments are kept`)
  assert.deepEqual([spool.stats().lastError, bench.disk.paths.includes(`${DIR}/cursor.tmp`)], ['', false])
  await fill(spool, [20, 21])
  await spool.sync()
  bench.disk.restart(false)
  const again = await bench.open()
  assert.deepEqual([again.recovery.cursor, again.recovery.quarantined], ['read', []])
  assert.deepEqual(await drain(again), [20, 21])
})

test('spool: a failed write is a result with its error', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  bench.disk.faults.write = 1
  const result = await spool.append([frame(1)])
  assert.ok(result.status === 'failed' && result.frames === 0 && result.error.message.includes('EIO'))
})

test('spool: after a failed sync the frames are written again to a new file, and then survive a power cut', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, [1, 2, 3])
  const [before] = bench.segments()
  bench.disk.faults.sync = 1
  assert.ok((await spool.sync()) instanceof Error)
  assert.equal(spool.stats().durable, 0)
  bench.disk.faults.sync = 0
  assert.equal(await spool.sync(), undefined)
  assert.equal(spool.stats().durable, 3)
  assert.ok(!bench.segments().includes(before ?? ''))
  bench.disk.restart(false)
  assert.deepEqual(await drain(await bench.open()), [1, 2, 3])
})

test('spool: a spool in use by one process is refused to a second one with a message', async () => {
  const bench = new Bench()
  await bench.open()
  await assert.rejects(bench.open(), (error) => {
    assert.ok(error instanceof ExportError)
    assert.equal(error.code, 'UNUSABLE')
    assert.equal(
      error.message,
      `cannot open the spool "${DIR}": process 1 is using it; stop that one or give this exporter another folder`,
    )
    return true
  })
})

test('spool: closes twice, refuses appends after, releases the lock', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  await fill(spool, [1])
  await spool.close()
  await spool.close()
  const result = await spool.append([frame(2)])
  assert.equal(result.status, 'failed')
  assert.deepEqual(await spool.next(1), { status: 'empty' })
  await using again = await bench.open()
  assert.deepEqual(await drain(again), [1])
})

test('spool: a cursor that cannot be stored is counted each time, and reported when it begins and ends', async () => {
  const bench = new Bench()
  let broken = true
  bench.through = (files) => closed('EIO', (path) => broken && path.endsWith('/cursor.tmp'))(files)
  const spool = await bench.open()
  const reported = "cursor EIO: refused, open '/spool/cursor.tmp'"
  assert.deepEqual(bench.failures, [reported])
  await fill(spool, [1, 2])
  await drain(spool)
  await bench.clock.turn(1000)
  const { failures, lastError } = spool.stats()
  assert.ok(failures.cursor >= 3, `${failures.cursor} failures`)
  assert.deepEqual([bench.failures, `cursor ${lastError}`], [[reported], reported])
  broken = false
  await bench.clock.turn(1000)
  assert.deepEqual([bench.failures, spool.stats().lastError], [[reported, 'cursor '], ''])
})

test('spool: failing reads, writes and syncs are reported when they begin and end', async () => {
  const bench = new Bench()
  const spool = await bench.open()
  bench.disk.faults.write = 1
  for (let i = 0; i < 3; i++) assert.equal((await spool.append([frame(1)])).status, 'failed')
  bench.disk.faults.write = 0
  await fill(spool, [1, 2])
  bench.disk.faults.sync = 1
  for (let i = 0; i < 3; i++) await spool.sync()
  bench.disk.faults.sync = 0
  assert.equal(await spool.sync(), undefined)
  bench.disk.faults.read = 1
  for (let i = 0; i < 2; i++) assert.equal((await spool.next(1)).status, 'failed')
  bench.disk.faults.read = 0
  assert.deepEqual(await drain(spool), [1, 2])
  const eio = 'EIO: injected'
  assert.deepEqual(bench.failures, [`write ${eio}`, 'write ', `sync ${eio}`, 'sync ', `read ${eio}`, 'read '])
  const { read, write, sync, cursor } = spool.stats().failures
  assert.deepEqual([read, write, cursor], [2, 3, 0])
  assert.ok(sync >= 3)
})
