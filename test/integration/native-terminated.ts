/**
 * A process of its own for native-worker.test.ts. Arguments: object file, number of workers. Terminates that many workers, one after the other,
 * anywhere between their start and a while of calls of every part of the addon. Prints `terminated`; a call that takes the process with it ends
 * it by a signal before.
 */
import { once } from 'node:events'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker, isMainThread, workerData } from 'node:worker_threads'

import { gzip, kernelMembers, openObject, openPathWorker, openRing, watchRing, zstd } from '../../native/index.ts'
import { bytesOf } from './native-fixture.ts'

/** It has begun to call before, in every second worker. */
const MOST_MS = 50

async function terminateWorkers(path: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: path, stdout: true })
    worker.once('error', (error) => {
      throw error
    })
    if (i % 2 === 0) await once(worker.stdout, 'data')
    await setTimeout(Math.random() * MOST_MS)
    await worker.terminate()
  }
  process.stdout.write('terminated\n')
}

/** Never ends by itself. Wrong requests make errors, which are values too. */
async function callAll(path: string): Promise<never> {
  using object = await openObject(path, { programs: [] })
  using table = object.map('table')
  using paths = openPathWorker()
  const key = bytesOf(1)
  const into = Buffer.alloc(1 << 16)
  const wrong = {
    programs: [{ name: 'nope', kind: 'kprobe' }],
    constants: { only_tgid: key },
    mapSizes: { ring: 4096 },
  } as const
  const askAll = async (): Promise<void> => {
    await Promise.allSettled([
      ...Array.from({ length: 20 }, () => openObject('/nope.o', wrong)),
      ...Array.from({ length: 20 }, () => object.attach('nope', ['nope'])),
      openObject(path, wrong),
      gzip([key, key]),
      zstd([key]),
      kernelMembers(['task_struct pid']),
      paths.readFolder(Buffer.from('/proc/self')),
      paths.readLink(Buffer.from('/proc/self')),
    ])
    asked = undefined
  }
  let asked: Promise<void> | undefined
  process.stdout.write('calls\n')
  for (;;) {
    for (let i = 0; i < 20; i++) {
      table.update(key, bytesOf(i, 8))
      table.lookup(key)
      table.part(8)
      using map = object.map('ring')
      using ring = openRing(map)
      ring.read(into)
      watchRing(map, () => {}).close()
    }
    asked ??= askAll()
    await setImmediate()
  }
}

if (isMainThread) {
  const [path = '', count = '1'] = process.argv.slice(2)
  await terminateWorkers(path, Number(count))
} else {
  await callAll(workerData)
}
