/** Reads of /proc that the kernel does not answer, as of a process whose memory map is locked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProcessFiles } from '../../../../collector/process/detail/process-files.ts'
import { readProcess } from '../../../../collector/process/procfs.ts'
import { flagWords } from '../../../../collector/wire/text.ts'
import { openPathWorker } from '../../../../native/index.ts'
import type { PathWorker } from '../../../../native/types.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { write } from '../support/procfs.ts'

/** Two processes each; root has 0 and 1. */
const userOf = (pid: number): number => pid >> 1

/** A worker that answers all but the processes of `silent`, and these at `answer`. */
class Rig {
  readonly silent = new Set<number>()
  readonly asked: number[] = []
  abandoned = 0
  readonly files: ProcessFiles
  #late: Array<() => void> = []

  constructor(folder: Folder) {
    for (let pid = 0; pid < 40; pid++) write(folder.path, { pid, uid: Array(4).fill(userOf(pid)).join('\t') })
    const real = openPathWorker()
    const worker: PathWorker = {
      ...real,
      readStart: (path, most) => {
        const pid = Number(/\/(\d+)\/[a-z]+$/.exec(String(path))?.[1])
        this.asked.push(pid)
        if (!this.silent.has(pid)) return real.readStart(path, most)
        const { promise, resolve } = Promise.withResolvers<Buffer<ArrayBuffer>>()
        this.#late.push(() => resolve(Buffer.alloc(0)))
        return promise
      },
      abandon: () => void this.abandoned++,
      close: () => real.close(),
      [Symbol.dispose]: () => real.close(),
    }
    this.files = new ProcessFiles(folder.path, { worker, deadlineMs: 20 })
  }

  async read(pid: number): Promise<string | undefined> {
    return (await this.files.read(pid, userOf(pid), 'cmdline', 100))?.toString()
  }

  async answer(): Promise<void> {
    for (const late of this.#late.splice(0)) late()
    await new Promise(setImmediate)
  }
}

test("process files: a read without an answer is given up; its user's processes are not read until the kernel returns", async () => {
  using folder = new Folder()
  const rig = new Rig(folder)
  rig.silent.add(4)
  const [hung, same, other] = await Promise.all([rig.read(4), rig.read(5), rig.read(6)])
  assert.deepEqual([hung, same, other], [undefined, undefined, 'x\0'])
  assert.deepEqual([rig.asked, rig.abandoned], [[4, 6], 1])
  assert.deepEqual(rig.files.unread, { cmdline: 2, environ: 0 })
  rig.silent.clear()
  await rig.answer()
  assert.deepEqual([await rig.read(4), await rig.read(5)], ['x\0', 'x\0'])
})

test("process files: a hung process of root keeps root's others readable; at most eight threads wait for the kernel", async () => {
  using folder = new Folder()
  const rig = new Rig(folder)
  for (const pid of [0, 2, 4, 6, 8, 10, 12, 14, 16]) rig.silent.add(pid)
  assert.deepEqual([await rig.read(0), await rig.read(1)], [undefined, 'x\0'])
  for (const pid of [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]) assert.equal(await rig.read(pid), undefined)
  assert.deepEqual([rig.abandoned, rig.asked.at(-1)], [8, 14])
  await rig.answer()
  assert.equal(await rig.read(18), 'x\0')
})

test('procfs: a process whose arguments cannot be read in time is there without them, and flagged', async () => {
  using folder = new Folder()
  const rig = new Rig(folder)
  rig.silent.add(4)
  const found = (await readProcess(folder.path, 4, rig.files)) ?? assert.fail('not found')
  assert.deepEqual([found.binary, found.arguments, flagWords(found.flags)], ['/bin/x', '', 'procFS errorArgs rootcwd'])
})
