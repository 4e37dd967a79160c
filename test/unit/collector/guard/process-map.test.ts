/** The kernel's table of processes against the agent's: a change is found, reported and repaired; records on their way are no change. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ProcessMapCheck } from '../../../../collector/guard/process-map.ts'
import { NativeError } from '../../../../native/index.ts'
import { exec, newTable } from '../support/processes.ts'
import { write } from '../support/procfs.ts'

const AGENT = 10
const START = 2_000_000_000
const folder = mkdtempSync(join(tmpdir(), 'ktrail-process-map-'))
after(() => rmSync(folder, { recursive: true }))

/** The agent and these pids run; the kernel's table has them all. */
function rig(...pids: number[]): {
  readonly procfs: string
  readonly kernel: Map<number, bigint>
  readonly state: { full: number; compared: number; room: boolean; frozen: boolean }
  readonly table: ReturnType<typeof newTable>
  look(): string[]
} {
  const procfs = mkdtempSync(join(folder, 'proc-'))
  const table = newTable()
  const kernel = new Map<number, bigint>()
  for (const pid of [AGENT, ...pids]) {
    table.exec(exec(pid, START + pid, 1, 1), 0)
    kernel.set(pid, BigInt(START + pid))
    write(procfs, { pid })
  }
  const state = { full: 0, compared: 0, room: true, frozen: false }
  const check = new ProcessMapCheck({
    agentPid: AGENT,
    table,
    kernel: {
      processStart: (pid) => kernel.get(pid),
      seedProcess: (pid, startNs) => {
        if (state.frozen) throw new NativeError('NOT_PERMITTED', 'frozen')
        if (kernel.has(pid) || !state.room) return false
        kernel.set(pid, startNs)
        return true
      },
      forgetProcess: (pid) => void kernel.delete(pid),
    },
    procfs,
    full: () => state.full,
    compare: () => state.compared++,
  })
  return { procfs, kernel, state, table, look: () => check.check().map(({ got, repaired }) => `${got} ${repaired}`) }
}

test('process map: nothing is found while the tables agree', () => {
  const { look } = rig(20, 30)
  assert.deepEqual([look(), look()], [[], []])
})

test('process map: an emptied map is found at once, and is compared as a whole', () => {
  const { kernel, state, look } = rig(20, 30)
  kernel.clear()
  assert.deepEqual(look(), ['no entry of the agent itself true'])
  assert.deepEqual([kernel.get(AGENT), state.compared], [BigInt(START + AGENT), 1])
})

test('process map: missing or older entries of other processes are found by two checks, and are restored', () => {
  const { kernel, look } = rig(20, 30, 40)
  kernel.delete(20)
  kernel.set(30, 7n)
  assert.deepEqual([look(), look(), look()], [[], ['missing or changed entries of 2 running processes true'], []])
  assert.deepEqual([kernel.get(20), kernel.get(30)], [BigInt(START + 20), BigInt(START + 30)])
})

test('process map: each entry is checked in turn', () => {
  const pids = Array.from({ length: 200 }, (_, i) => 1000 + i)
  const { kernel, look } = rig(...pids)
  kernel.delete(1199)
  const looks = Array.from({ length: 6 }, () => look().length)
  assert.equal(looks.filter((found) => found > 0).length, 1)
})

test('process map: an exec or exit whose record is on its way is no change', () => {
  const { procfs, kernel, table, look } = rig(20, 30, 40)
  // Its exec is later than the one that the agent has.
  kernel.set(20, BigInt(START + 500))
  // Its process has ended.
  kernel.delete(30)
  rmSync(join(procfs, '30'), { recursive: true })
  kernel.delete(40)
  assert.deepEqual(look(), [])
  table.exec(exec(40, START + 600, 1, 1), 0)
  kernel.set(40, BigInt(START + 600))
  assert.deepEqual([look(), look()], [[], []])
})

test('process map: a table that was full may lack processes, but never the agent', () => {
  const { kernel, state, look } = rig(20)
  state.full = 1
  kernel.delete(20)
  assert.deepEqual([look(), look()], [[], []])
  state.room = false
  kernel.clear()
  assert.deepEqual(look(), ['no entry of the agent itself false'])
})

test('process map: one that another process has frozen is a finding without a repair', () => {
  const { kernel, state, look } = rig(20)
  state.frozen = true
  kernel.clear()
  assert.deepEqual(look(), ['no entry of the agent itself false'])
})
