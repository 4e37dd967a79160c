/** A spool whose folder or files are removed while it runs: noticed at a sync, restored as far as possible, the rest counted. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { systemClock } from '../../../../../config/base/time/clock.ts'
import { systemSpoolFiles } from '../../../../../exporters/buffer/disk/files/files.ts'
import type { Loss } from '../../../../../exporters/buffer/disk/tally.ts'
import type { Vanished } from '../../../../../exporters/buffer/disk/presence.ts'
import { openSpool } from '../../../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../../../exporters/buffer/disk/spool.ts'
import { numbers } from '../../support/lines.ts'
import { drain, fill, frame } from './support.ts'

const root = mkdtempSync(path.join(tmpdir(), 'spool-'))
after(() => rmSync(root, { recursive: true, force: true }))

interface Rig {
  readonly dir: string
  readonly spool: Spool
  readonly vanished: Vanished[]
  readonly losses: Loss[]
  readonly failures: string[]
}

let made = 0

/** A segment holds twenty frames of 100 bytes. With the long interval the test controls syncs. */
async function rig(dir: string = path.join(root, `s${made++}`, 'spool')): Promise<Rig> {
  const vanished: Vanished[] = []
  const losses: Loss[] = []
  const failures: string[] = []
  const spool = await openSpool(
    { dir, fsync: 3_600_000, max_size: 64 << 20, min_free: 0, segment_size: 3000, epoch: 'e' },
    {
      files: systemSpoolFiles,
      clock: systemClock,
      random: Math.random,
      onLoss: (loss) => losses.push(loss),
      onFailure: (work, error) => failures.push(`${work} ${error}`),
      onVanished: (one) => vanished.push(one),
    },
  )
  return { dir, spool, vanished, losses, failures }
}

const segmentsIn = (dir: string): string[] => readdirSync(dir).filter((name) => name.endsWith('.seg'))
const lostIn = (losses: readonly Loss[]): number => losses.reduce((sum, { events }) => sum + events, 0)

/** Damage to a spool whose last segment is open. */
const ways: Readonly<Record<string, (dir: string) => void>> = {
  'the folder is removed': (dir) => rmSync(dir, { recursive: true }),
  'the folder and the one above it are removed': (dir) => rmSync(path.dirname(dir), { recursive: true }),
  'the folder is moved away': (dir) => renameSync(dir, `${dir}.moved`),
  'the folder is replaced by an empty one': (dir) => {
    renameSync(dir, `${dir}.moved`)
    mkdirSync(dir)
  },
  'all files in it are removed': (dir) => {
    for (const name of segmentsIn(dir)) rmSync(path.join(dir, name))
  },
  'its files are replaced by others': (dir) => {
    const last = segmentsIn(dir).at(-1) ?? ''
    for (const name of segmentsIn(dir)) rmSync(path.join(dir, name))
    writeFileSync(path.join(dir, last), 'what is this?')
  },
}

describe('spool: removed while it runs', () => {
  for (const [name, take] of Object.entries(ways)) {
    it(`${name}: open segments are delivered, the rest is counted, at once`, async () => {
      const { dir, spool, vanished, losses } = await rig()
      await fill(spool, numbers(0, 50))
      await spool.sync()
      await fill(spool, numbers(50, 60))
      assert.ok(segmentsIn(dir).length >= 3)
      take(dir)
      assert.equal(await spool.sync(), undefined)
      assert.equal(vanished.length, 1)
      const [{ rescued, lost } = { rescued: 0, lost: 0 }] = vanished
      assert.ok(rescued >= 1 && lost >= 1, `${rescued} rescued, ${lost} lost`)
      assert.equal(rescued + lost, 60)
      assert.equal(lostIn(losses), lost)
      assert.deepEqual(
        losses.map(({ reason, marks }) => [reason, marks?.epoch]),
        losses.map(() => ['corrupt', 'e']),
      )
      // Nothing is reported as readable before a read.
      assert.equal(spool.stats().events, rescued)
      assert.equal(spool.stats().segments, segmentsIn(dir).length)
      assert.equal(spool.stats().imbalance, 0)
      assert.equal(await spool.sync(), undefined)
      await fill(spool, numbers(60, 100))
      assert.equal(await spool.sync(), undefined)
      assert.equal(vanished.length, 1, 'it is reported once')
      assert.equal(spool.stats().durable, 100)
      const read = await drain(spool)
      assert.deepEqual(read, numbers(60 - rescued, 100))
      assert.equal(lostIn(losses), lost, 'it is counted once')
      assert.equal(spool.stats().events, 0)
      assert.equal(spool.stats().imbalance, 0)
      await spool.close()
      const again = await rig(dir)
      assert.deepEqual(await drain(again.spool), [])
      assert.equal(again.spool.stats().events, 0)
      await again.spool.close()
    })
  }

  it('the segment being read is restored too, one in between is counted and skipped', async () => {
    const { dir, spool, vanished, losses } = await rig()
    await fill(spool, numbers(0, 60))
    await spool.sync()
    const first = await spool.next(1)
    assert.ok(first.status === 'frames')
    rmSync(dir, { recursive: true })
    await fill(spool, [60])
    await spool.sync()
    const [{ rescued, lost } = { rescued: 0, lost: 0 }] = vanished
    // One is in flight, and the last one came after the repair that its new file caused.
    assert.equal(rescued + lost, 59)
    spool.ack(first.token)
    assert.equal(spool.stats().events, rescued + 1)
    assert.ok(lost > 0 && lostIn(losses) === lost)
    const read = await drain(spool)
    assert.deepEqual(read.slice(0, 3), [1, 2, 3])
    assert.equal(read.at(-1), 60)
    assert.equal(read.length, rescued + 1)
    assert.equal(lostIn(losses), lost)
    assert.equal(spool.stats().imbalance, 0)
    await spool.close()
  })

  it('a kill after the repair loses no restored event', async () => {
    const { dir, spool, vanished } = await rig()
    await fill(spool, numbers(0, 10))
    rmSync(dir, { recursive: true })
    await spool.sync()
    assert.deepEqual(vanished, [{ rescued: 10, lost: 0 }])
    // The state after a kill: the files unchanged, the lock's owner ended.
    const copy = path.join(root, 'killed')
    mkdirSync(copy)
    // The cursor may just be renamed.
    for (const name of readdirSync(dir).filter((one) => one !== 'lock' && !one.endsWith('.tmp'))) {
      copyFileSync(path.join(dir, name), path.join(copy, name))
    }
    const again = await rig(copy)
    assert.deepEqual(await drain(again.spool), numbers(0, 10))
    await again.spool.close()
    await spool.close()
  })

  it('an empty spool gets its folder back with the next append', async () => {
    const { dir, spool, vanished } = await rig()
    rmSync(dir, { recursive: true })
    await fill(spool, numbers(0, 5))
    assert.deepEqual(vanished, [{ rescued: 0, lost: 0 }])
    assert.deepEqual(await drain(spool), numbers(0, 5))
    await spool.close()
    assert.ok(existsSync(path.join(dir, 'cursor')))
  })

  it('while the folder cannot be created nothing is appended to deleted files; it is repaired once it can', async () => {
    const { dir, spool, vanished, failures } = await rig()
    await fill(spool, numbers(0, 5))
    rmSync(dir, { recursive: true })
    writeFileSync(dir, 'in its place')
    const error = await spool.sync()
    assert.ok(error instanceof Error)
    assert.match(failures[0] ?? '', /^sync /)
    assert.equal((await spool.append([frame(5)])).status, 'failed')
    assert.deepEqual(vanished, [])
    rmSync(dir)
    await fill(spool, [5])
    assert.deepEqual(vanished, [{ rescued: 5, lost: 0 }])
    assert.deepEqual(await drain(spool), numbers(0, 6))
    assert.equal(spool.stats().imbalance, 0)
    await spool.close()
  })

  it('a folder that another agent uses is not touched', async () => {
    const { dir, spool, failures } = await rig()
    await fill(spool, numbers(0, 5))
    renameSync(dir, `${dir}.moved`)
    const other = await rig(dir)
    assert.ok((await spool.sync()) instanceof Error)
    assert.match(failures[0] ?? '', /process \d+ uses ".*", which replaced the spool/)
    await other.spool.close()
    await fill(spool, [5])
    assert.deepEqual(await drain(spool), numbers(0, 6))
    await spool.close()
  })
})
