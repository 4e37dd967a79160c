/**
 * The agent ends at each single system call of writing, rotating, compressing and deleting; the next start on the
 * same folder has every line that was taken exactly once, over plain and compressed files.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { FileExporter } from '../../../../../exporters/sinks/file/exporter.ts'
import { FakeClock, until } from '../../support/fake-clock.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { NEVER } from '../../support/file-rig.ts'
import { Folder } from '../../support/folder.ts'
import { batch, lines, numbers } from '../../support/lines.ts'
import { fileConfig } from '../../support/file-rig.ts'

const LINE_BYTES = 20

interface Life {
  readonly folder: Folder
  /** Calls until the crash; undefined: the agent is stopped without a crash. */
  readonly calls?: number
  /** Bytes of the last write that still arrive. */
  readonly lastBytes?: number
  readonly batches: readonly number[]
  readonly firstSeq: number
}

interface Lived {
  readonly crashed: boolean
  readonly taken: readonly number[]
  readonly offered: number
}

/** Sends the batches, each time waiting for background work. After the crash no call succeeds. */
async function live({ folder, calls = Infinity, lastBytes = 0, batches, firstSeq }: Life): Promise<Lived> {
  const files = new FaultyFiles()
  files.sync = false
  let left = calls
  files.plan = (call) => {
    left--
    if (left > 0) return undefined
    return left === 0 && call === 'writev' && lastBytes > 0 ? lastBytes : 'ECRASH'
  }
  const crashed = (): boolean => left <= 0
  const options = { path: folder.at('events.jsonl'), max_size: 45, max_files: 1000, compress: true }
  const exporter = new FileExporter(fileConfig({ ...options, fsync: 'batch' }), { files, clock: new FakeClock() })
  const taken: number[] = []
  let seq = firstSeq
  const atRest = (): boolean => folder.names().every((name) => name === 'events.jsonl' || name.endsWith('.gz'))
  await exporter.start()
  for (const count of batches) {
    const outcome = crashed() ? undefined : await exporter.send(batch(lines(seq, count, LINE_BYTES)), NEVER)
    if (outcome?.status === 'delivered') taken.push(...numbers(seq, seq + count))
    if (outcome?.status === 'retryable') taken.push(...numbers(seq, seq + (outcome.taken ?? 0)))
    seq += count
    await until('all is compressed', () => crashed() || atRest())
  }
  await exporter.stop()
  return { crashed: crashed(), taken, offered: seq }
}

/** Numbers of all whole lines, sorted, and how many were torn. */
function inventory(folder: Folder): { ids: number[]; torn: number } {
  const texts = folder.names().map((name) => {
    const content = readFileSync(folder.at(name))
    return name.endsWith('.gz') ? gunzipSync(content).toString() : content.toString()
  })
  const all = texts.flatMap((text) => text.split('\n')).filter((line) => line !== '')
  const whole = all.filter((line) => line.length === LINE_BYTES - 1)
  return {
    ids: whole.map((line) => Number(/\d+/.exec(line)?.[0])).toSorted((a, b) => a - b),
    torn: all.length - whole.length,
  }
}

function check(folder: Folder, lives: readonly Lived[]): void {
  const { ids, torn } = inventory(folder)
  assert.deepEqual(ids, [...new Set(ids)], 'no line twice')
  const taken = lives.flatMap((life) => life.taken)
  assert.deepEqual(
    taken.filter((id) => !ids.includes(id)),
    [],
    'no line lost that was taken',
  )
  assert.ok(ids.every((id) => id < Math.max(...lives.map(({ offered }) => offered))))
  assert.ok(torn <= lives.filter(({ crashed }) => crashed).length, `${torn} torn lines`)
  const names = folder.names()
  assert.ok(
    names.every((name) => name === 'events.jsonl' || name.endsWith('.gz')),
    names.join(),
  )
}

const BATCHES = [3, 1, 5]

test('crash: at each call, every delivered line is there exactly once after the next start', async (t) => {
  let calls = 1
  for (; ; calls++) {
    using folder = new Folder()
    const first = await live({ folder, calls, lastBytes: calls % 2 === 0 ? 27 : 0, batches: BATCHES, firstSeq: 0 })
    const second = await live({ folder, batches: [0, 1], firstSeq: first.offered })
    check(folder, [first, second])
    if (!first.crashed) {
      assert.deepEqual(inventory(folder).ids, numbers(0, 10))
      break
    }
  }
  t.diagnostic(`${calls - 1} places to crash`)
  assert.ok(calls > 80, 'all calls of writing, rotating and compressing were tested')
})

test('crash: also during the repair after a crash', async () => {
  const life = fc.record({ calls: fc.integer({ min: 1, max: 110 }), lastBytes: fc.integer({ min: 0, max: 60 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 2, maxLength: 4 }), async (crashes) => {
      using folder = new Folder()
      const lives: Lived[] = []
      let firstSeq = 0
      for (const one of [...crashes, {}]) {
        const lived = await live({ folder, ...one, batches: BATCHES, firstSeq })
        lives.push(lived)
        firstSeq = lived.offered
      }
      check(folder, lives)
    }),
    { numRuns: 60 },
  )
})
