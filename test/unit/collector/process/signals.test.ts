/** Wait status → signal and status. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitReason } from '../../../../collector/process/signals.ts'

for (const [code, signal, status] of [
  [0, '', 0],
  [1 << 8, '', 1],
  [255 << 8, '', 255],
  [42 << 8, '', 42],
  [9, 'SIGKILL', 0],
  [15, 'SIGTERM', 0],
  [11 | 0x80, 'SIGSEGV', 0],
  [6 | 0x80, 'SIGABRT', 0],
  [6, 'SIGABRT', 0],
  [7, 'SIGBUS', 0],
  [29, 'SIGIO', 0],
  [31, 'SIGSYS', 0],
  [32, 'SIG32', 0],
  [34, 'SIGRTMIN', 0],
  [35, 'SIGRTMIN+1', 0],
  [64, 'SIGRTMIN+30', 0],
  [36 | 0x80, 'SIGRTMIN+2', 0],
  [0x80, '', 0],
  [(3 << 8) | 9, 'SIGKILL', 3],
] as const) {
  test(`signals: wait status 0x${code.toString(16)} is "${signal}" and ${status}`, () =>
    assert.deepEqual(exitReason(code), { signal, status }))
}
