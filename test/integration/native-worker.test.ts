import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

import { closed, kernelFunctionNames, openObject } from '../../native/index.ts'
import type { BpfObject } from '../../native/types.ts'
import {
  SYMBOL,
  added,
  bytesOf,
  cannotAttach,
  compileFixture,
  descriptors,
  hit,
  openFixture,
  programFor,
  programIds,
  rejects,
  sumOf,
  until,
} from './native-fixture.ts'

const loader = fileURLToPath(new URL('native-loader.ts', import.meta.url))
const terminated = fileURLToPath(new URL('native-terminated.ts', import.meta.url))
const skip = cannotAttach()
if (skip !== false) console.log(`native-worker: skipped: ${skip}`)
const path = skip === false ? compileFixture() : ''

/** Threads of the addon in this process. */
function threads(): number {
  const names = readdirSync('/proc/self/task').map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim()
    } catch {
      return '' // ended meanwhile
    }
  })
  return names.filter((name) => name === 'ktrail-bpf').length
}

describe('native: the thread that loads', { skip }, () => {
  it('the event loop turns while objects are loaded', async () => {
    const loadAll = (): Promise<BpfObject[]> =>
      Promise.all(Array.from({ length: 20 }, () => openFixture(path, 'kprobe')))
    for (const object of await loadAll()) object.close()
    let turns = 0
    const ticking = setInterval(() => turns++, 1)
    const objects = await loadAll()
    clearInterval(ticking)
    for (const object of objects) object.close()
    assert.ok(turns >= 5, `${turns} turns`)
  })

  it('each of several loads gets its own result and its own log', async () => {
    const programs = [{ name: 'handle_refused', kind: 'kprobe' }] as const
    const loads = [
      openFixture(path, 'kprobe'),
      rejects(openObject(path, { programs }), 'LOAD_REFUSED', /program "handle_refused"/),
      rejects(openObject('/nope.o', { programs }), 'OPEN_FAILED', /nope/),
      openFixture(path, 'kretprobe'),
      rejects(openObject(path, { programs, mapSizes: { nope: 1 } }), 'NO_MAP', /nope/),
    ]
    for (const loaded of await Promise.all(loads)) {
      if (!(loaded instanceof Error)) loaded.close()
      else assert.equal(loaded.log.includes('BEGIN PROG LOAD LOG'), loaded.code === 'LOAD_REFUSED', loaded.log)
    }
  })

  it('options are those of the call, also when they change or are closed before the thread reads them', async () => {
    const tgid = bytesOf(process.pid)
    const first = await openFixture(path, 'kprobe')
    const counts = first.map('counts')
    const load = openObject(path, {
      programs: programFor('kprobe'),
      constants: { only_tgid: tgid },
      sharedMaps: { counts },
    })
    tgid.fill(0)
    counts.close()
    first.close()
    using object = await load
    using shared = object.map('counts')
    const attach = object.attach('handle_kprobe', [SYMBOL])
    object.close()
    const link = await attach
    hit(3)
    assert.equal(sumOf(shared, 0), 3)
    link.close()
    await closed()
    hit()
    assert.equal(sumOf(shared, 0), 3)
  })

  it('ends when it has nothing to do, and starts again', async () => {
    for (let i = 0; i < 2; i++) {
      await kernelFunctionNames()
      assert.equal(threads(), 1)
      await until('the thread to end', () => threads() === 0)
    }
  })

  it('does not keep the process alive', async () => {
    const child = spawn(process.execPath, [loader, path, 'end'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [text] = await once(child.stdout, 'data')
    assert.equal(String(text), 'kprobe\n')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  for (const ms of [0, 20, 100, 300]) {
    it(`process.exit after ${ms} ms of loading leaves no program`, async () => {
      const before = programIds()
      const child = spawn(process.execPath, [loader, path, 'exit', String(ms)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      assert.deepEqual(await once(child, 'exit'), [0, null])
      await until('the programs to go', () => added(programIds(), before).size === 0)
    })
  }

  it(
    'a worker that is terminated while it loads leaves nothing open in its process',
    { timeout: 120_000 },
    async () => {
      await until('the thread to end', () => threads() === 0)
      const before = descriptors()
      for (const ms of [0, 1, 5, 10, 20, 50, 100, 200]) {
        const worker = new Worker(loader, { argv: [path, 'load'], stdout: true })
        await once(worker.stdout, 'data')
        await new Promise((resolve) => setTimeout(resolve, ms))
        await worker.terminate()
        assert.equal(threads(), 0)
      }
      await until('descriptors to go', () => descriptors() <= before)
    },
  )

  it(
    'workers that are terminated in the middle of any call leave the process alive',
    { timeout: 300_000 },
    async () => {
      const child = spawn(process.execPath, [terminated, path, '40'], { stdio: ['ignore', 'ignore', 'inherit'] })
      assert.deepEqual(await once(child, 'exit'), [0, null])
    },
  )
})
