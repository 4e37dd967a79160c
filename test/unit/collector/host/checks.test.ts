/** Problems that keep the agent from running on a kernel. Whether there are kprobes depends on the machine of this test. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kernelProblems } from '../../../../collector/host/checks.ts'

const codes = (hasBtf: boolean, lockdown: string | undefined): string[] =>
  kernelProblems(() => hasBtf, lockdown)
    .map(({ code }) => code)
    .filter((code) => code !== 'NO_KPROBES')

for (const [hasBtf, lockdown, want] of [
  [true, 'none', []],
  [true, 'integrity', []],
  [true, 'confidentiality', ['LOCKED_DOWN']],
  [false, 'none', ['NO_BTF']],
  [false, 'confidentiality', ['NO_BTF', 'LOCKED_DOWN']],
] as const) {
  test(`checks: BTF ${hasBtf}, lockdown ${lockdown}: ${want.join(', ') || 'no problem'}`, () =>
    assert.deepEqual(codes(hasBtf, lockdown), want))
}
