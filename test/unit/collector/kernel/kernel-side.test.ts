/** Sizes of the maps that the kernel side makes at its start. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { processRoom } from '../../../../collector/kernel/kernel-side.ts'

/** [pid_max, threads-max]; undefined: there is no such file. */
const LIMITS: ReadonlyArray<readonly [pidMax: string | undefined, threadsMax: string | undefined, room: number]> = [
  ['4194304\n', '31337\n', 31_337],
  ['32768\n', '515000\n', 32_768],
  ['4194304\n', '515000\n', 131_072],
  [undefined, '9000\n', 9_000],
  [undefined, undefined, 131_072],
  ['', 'many', 131_072],
]

for (const [pidMax, threadsMax, room] of LIMITS) {
  test(`kernel side: with pid_max ${String(pidMax?.trim())} and threads-max ${String(threadsMax?.trim())} the tables have room for ${room} processes`, () => {
    const procfs = mkdtempSync(join(tmpdir(), 'ktrail-procfs-'))
    try {
      mkdirSync(join(procfs, 'sys/kernel'), { recursive: true })
      for (const [name, text] of [
        ['pid_max', pidMax],
        ['threads-max', threadsMax],
      ] as const)
        if (text !== undefined) writeFileSync(join(procfs, 'sys/kernel', name), text)
      assert.equal(processRoom(procfs), room)
    } finally {
      rmSync(procfs, { recursive: true })
    }
  })
}
