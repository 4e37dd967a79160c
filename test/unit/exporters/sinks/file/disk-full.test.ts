/**
 * A real full disk: a tmpfs of 256 KiB. Needs root and mount; skipped with the reason without them.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Exporter } from '../../../../../exporters/contract/exporter.ts'
import { FileExporter } from '../../../../../exporters/sinks/file/exporter.ts'
import { Sender } from '../../../../../exporters/sending/sender.ts'
import { descriptorFile } from '../../../../../exporters/sinks/stdout/descriptor.ts'
import { StdoutFileExporter } from '../../../../../exporters/sinks/stdout/file.ts'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'
import { idsOf, lines, numbers } from '../../support/lines.ts'
import { CHAIN } from '../../../../support/exporter-config.ts'
import { fileConfig } from '../../support/file-rig.ts'

const OPTIONS = { ...CHAIN, retry: { initial: 1, max: 5 } }

const KINDS: Readonly<Record<string, (path: string) => Exporter>> = {
  file: (path) => new FileExporter(fileConfig({ path, max_size: 1 << 30, fsync: 'batch' })),
  'stdout, > file': (path) => stdoutTo(path, 'w'),
  'stdout, >> file': (path) => stdoutTo(path, 'a'),
}
for (const [kind, make] of Object.entries(KINDS)) {
  test(`${kind}: on a full real disk nothing is lost or torn, and all events arrive once there is space`, (t) =>
    onSmallDisk(t, make))
}

function stdoutTo(path: string, how: 'w' | 'a'): Exporter {
  const fd = openSync(path, how)
  const exporter = new StdoutFileExporter('json', { file: descriptorFile(fd), path: `/proc/self/fd/${fd}` })
  return Object.assign(exporter, {
    stop: () => StdoutFileExporter.prototype.stop.call(exporter).then(() => closeSync(fd)),
  })
}

async function onSmallDisk(t: TestContext, make: (path: string) => Exporter): Promise<void> {
  using folder = new Folder()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder.path], { encoding: 'utf8' })
  if (mounted.status !== 0) {
    const why = `cannot mount a tmpfs: ${(mounted.error?.message ?? mounted.stderr).trim()} (needs root)`
    t.skip(why)
    return
  }
  try {
    await fillAndRecover(folder, make)
  } finally {
    assert.equal(spawnSync('umount', [folder.path]).status, 0)
  }
}

async function fillAndRecover(folder: Folder, make: (path: string) => Exporter): Promise<void> {
  // A file to delete later, and a size that is no multiple of a line: the disk fills within a line.
  writeFileSync(folder.at('ballast'), Buffer.alloc(128 << 10))
  const sender = new Sender('archive', make(folder.at('events.jsonl')), OPTIONS)
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
  await until('the disk is full', () => sender.accounting().retries > 3)

  const full = sender.accounting()
  assert.equal(full.state, 'retrying')
  assert.match(
    full.lastError,
    /^cannot write to "(\/proc\/self\/fd\/\d+|.*events\.jsonl)": no space left on its file system \(ENOSPC\); free some space/,
  )
  assert.equal(sender.imbalance(), 0)
  assert.ok(full.delivered > 0 && full.heldEvents === 200 - full.delivered)
  await until('the counter equals the lines of the file', () => {
    const ids = idsOf(folder.read('events.jsonl'))
    assert.deepEqual(ids, numbers(0, ids.length))
    return ids.length === sender.accounting().delivered
  })
  assert.ok(statfsSync(folder.path).bavail * 4096 < 8192, 'the disk must be full')

  rmSync(folder.at('ballast'))
  await until('all has arrived', () => sender.accounting().heldEvents === 0)
  assert.deepEqual(idsOf(folder.read('events.jsonl')), numbers(0, 200))
  assert.equal(sender.accounting().delivered, 200)
  assert.equal(sender.accounting().state, 'healthy')
  assert.equal(sender.imbalance(), 0)
}
