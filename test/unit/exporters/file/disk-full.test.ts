/**
 * A real full disk: a tmpfs of 256 KiB. Needs root and mount; a machine without them says so and skips.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { FileExporter } from '../../../../exporters/file/exporter.ts'
import { DEFAULT_SENDER_OPTIONS } from '../../../../exporters/sending/options.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { until } from '../support/fake-clock.ts'
import { Folder } from '../support/folder.ts'
import { idsOf, lines, numbers } from '../support/lines.ts'

const OPTIONS = { ...DEFAULT_SENDER_OPTIONS, retry: { initialMs: 1, maxMs: 5 } }

test('file: on a disk that is really full nothing is lost or torn, and all arrives once there is space', async (t) => {
  using folder = new Folder()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder.path], { encoding: 'utf8' })
  if (mounted.status !== 0) {
    const why = `cannot mount a tmpfs: ${(mounted.error?.message ?? mounted.stderr).trim()} (needs root)`
    t.skip(why)
    return
  }
  try {
    await fillAndRecover(folder)
  } finally {
    assert.equal(spawnSync('umount', [folder.path]).status, 0)
  }
})

async function fillAndRecover(folder: Folder): Promise<void> {
  // Something to delete later, and a size that no line divides: the disk fills in the middle of a line.
  writeFileSync(folder.at('ballast'), Buffer.alloc(128 << 10))
  const options = {
    path: folder.at('events.jsonl'),
    maxSizeBytes: 1 << 30,
    maxFiles: 5,
    mode: 0o600,
    fsync: 'batch' as const,
  }
  const sender = new Sender('archive', new FileExporter(options), OPTIONS)
  await sender.start()
  try {
    await run(folder, sender)
  } finally {
    await sender.stop(1000)
  }
  assert.equal(sender.imbalance(), 0)
}

async function run(folder: Folder, sender: Sender): Promise<void> {
  for (let i = 0; i < 20; i++) sender.offer(lines(i * 10, 10, 1001))
  await until('the disk is full', () => sender.books().retries > 3)

  const full = sender.books()
  assert.equal(full.state, 'retrying')
  assert.match(
    full.lastError,
    /^cannot write to ".*events\.jsonl": no space left on its file system \(ENOSPC\); free some space/,
  )
  assert.equal(sender.imbalance(), 0)
  assert.ok(full.delivered > 0 && full.heldEvents === 200 - full.delivered)
  await until('what is counted is what is there', () => {
    const ids = idsOf(folder.read('events.jsonl'))
    assert.deepEqual(ids, numbers(0, ids.length))
    return ids.length === sender.books().delivered
  })
  assert.ok(statfsSync(folder.path).bavail * 4096 < 8192, 'the disk is full indeed')

  rmSync(folder.at('ballast'))
  await until('all has arrived', () => sender.books().heldEvents === 0)
  assert.deepEqual(idsOf(folder.read('events.jsonl')), numbers(0, 200))
  assert.equal(sender.books().delivered, 200)
  assert.equal(sender.books().state, 'healthy')
  assert.equal(sender.imbalance(), 0)
}
