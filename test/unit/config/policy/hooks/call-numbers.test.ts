/** Numbers of system calls, by the names of kernel functions. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { callNumber } from '../../../../../config/policy/system-calls.ts'

const HIGH = 0x8000_0000n
// Numbers of the processor's own table; strace and the kernel's tables have them.
const X64 = {
  sys_read: 0n,
  sys_dup: 32n,
  __x64_sys_execve: 59n,
  sys_newuname: 63n,
  sys_finit_module: 313n,
  sys_listns: 470n,
}
const ARM64 = { sys_read: 63n, sys_dup: 23n, __arm64_sys_execve: 221n, sys_newuname: 160n, sys_finit_module: 273n }

test('call numbers: those of this machine', () => {
  for (const [call, number] of Object.entries(process.arch === 'arm64' ? ARM64 : X64)) {
    assert.equal(callNumber(call), number, call)
  }
})

test('call numbers: those of 32-bit programs have bit 31', { skip: process.arch === 'arm64' && 'x64 only' }, () => {
  assert.equal(callNumber('__ia32_sys_execve'), HIGH | 11n)
  assert.equal(callNumber('__ia32_compat_sys_openat'), HIGH | 295n)
})

test('call numbers: an unknown system call is reported as such', () => {
  assert.equal(callNumber('sys_frobnicate'), 'the number of sys_frobnicate is not known; write the number')
  const foreign = process.arch === 'arm64' ? '__x64_sys_dup' : '__arm64_sys_dup'
  assert.equal(callNumber(foreign), `this machine has no system call ${foreign}`)
})
