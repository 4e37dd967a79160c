/** The simulation's assumptions, on a real file system. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { systemSpoolFiles } from '../../../../../exporters/buffer/disk/files/files.ts'
import { lockHolder } from '../../../../../exporters/buffer/disk/files/lock.ts'
import { openSpool } from '../../../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../../../exporters/buffer/disk/spool.ts'
import { systemClock } from '../../../../../config/base/time/clock.ts'
import { numbers } from '../../support/lines.ts'
import { drain, fill } from './support.ts'

const root = mkdtempSync(path.join(tmpdir(), 'spool-'))
after(() => rmSync(root, { recursive: true, force: true }))

const open = (dir: string): Promise<Spool> =>
  openSpool(
    { dir, fsync: 20, max_size: 64 << 20, min_free: 1, segment_size: 4096 },
    { files: systemSpoolFiles, clock: systemClock, random: Math.random },
  )

test('spool on a real disk: survives a close, private to its owner', async () => {
  const dir = path.join(root, 'a', 'b')
  const spool = await open(dir)
  await fill(spool, numbers(0, 200))
  await spool.close()
  assert.equal(statSync(dir).mode & 0o777, 0o700)
  assert.equal(statSync(path.join(dir, 'cursor')).mode & 0o777, 0o600)
  await using again = await open(dir)
  assert.deepEqual(await drain(again), numbers(0, 200))
})

test('spool on a real disk: folders, links and pipes with the names of segments do not prevent a start', async () => {
  const dir = path.join(root, 'odd')
  await (await open(dir)).close()
  const { execFileSync } = await import('node:child_process')
  execFileSync('sh', ['-c', 'mkdir 00000003.seg; ln -s /etc/passwd 00000004.seg; mkfifo 00000005.seg'], { cwd: dir })
  await using spool = await open(dir)
  assert.equal(spool.recovery.quarantined.length, 3, spool.recovery.quarantined.join('\n'))
  await fill(spool, [1])
  assert.deepEqual(await drain(spool), [1])
})

test('spool on a real disk: a second process is refused, a killed one leaves no lock', async () => {
  const dir = path.join(root, 'locked')
  const script = `
    import { lockFolder } from ${JSON.stringify(path.resolve('exporters/buffer/disk/files/lock.ts'))}
    const lock = await lockFolder(process.argv[1])
    console.log('heldBy' in lock ? 'held' : 'locked')
    setInterval(() => undefined, 1000)`
  await (await open(dir)).close()
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output] = await once(child.stdout, 'data')
  assert.equal(String(output), 'locked\n')
  await assert.rejects(open(dir), { message: new RegExp(`process ${child.pid} is using it`) })
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(existsSync(path.join(dir, 'lock')), 'the kill left no lock')
  await using spool = await open(dir)
  assert.equal(spool.recovery.cursor, 'read')
  assert.ok((await open(dir).catch((error: unknown) => error)) instanceof Error)
})

test('spool on a real disk: a path that is not a folder is refused with a message', async () => {
  const file = path.join(root, 'file')
  writeFileSync(file, '')
  await assert.rejects(open(file), {
    message: /^cannot use ".*file" as a spool: .*; make it a folder that the agent can write$/,
  })
})

test('spool on a real disk: a process with the lock that sends without end has it', { timeout: 10_000 }, async () => {
  const dir = path.join(root, 'dripping')
  mkdirSync(dir)
  const { dev, ino } = statSync(dir)
  const server = createServer((socket) => {
    const drip = setInterval(() => socket.write('7'), 50)
    socket.on('error', () => {}).once('close', () => clearInterval(drip))
  }).listen(`\0ktrail-spool-${dev}-${ino}`)
  await once(server, 'listening')
  assert.equal(await lockHolder(dir), 7)
  server.close()
})
