/** The BPF objects built for each processor: the same contract, each with its own registers. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { builtFile } from '../../../../native/index.ts'
import { readBtf } from '../../../support/wire/btf.ts'
import * as wire from '../../../../collector/wire/wire.ts'
import { REGISTERS } from '../../../../config/policy/types/registers.ts'
import { wireConstants } from '../../../support/wire/write-wire.ts'

const ROOT = join(import.meta.dirname, '../../../..')
const scratch = mkdtempSync(join(tmpdir(), 'ktrail-processors-'))
after(() => rmSync(scratch, { recursive: true }))

/** Paths of objects; those for this machine's processor are built already. */
function objectsFor(arch: string, names: readonly string[]): string[] {
  if (arch === (process.arch === 'x64' ? 'x86' : process.arch)) return names.map(builtFile)
  const out = join(scratch, arch)
  const objects = names.map((name) => join(out, name))
  execFileSync('make', ['-s', '-C', join(ROOT, 'bpf'), `ARCH=${arch}`, `OUT=${out}`, ...objects])
  return objects
}

for (const [arch, own, other, table, registers] of [
  ['x86', 'pt_regs', 'user_pt_regs', REGISTERS.x64, 17],
  // x0 to x30 are one array.
  ['arm64', 'user_pt_regs', 'pt_regs', REGISTERS.arm64, 2],
] as const) {
  const named = (member: string): number | undefined => (table.get(`r${member}`) ?? table.get(member))?.offset
  test(`processors: objects for ${arch} have the layouts of wire.ts and read ${own}`, () => {
    const objects = objectsFor(arch, ['layout.bpf.o', 'hook.probe.bpf.o'])
    const [layout, hook] = objects.map(readBtf)
    assert.ok(layout && hook)
    assert.deepEqual({ ...wire }, Object.fromEntries(wireConstants(layout)))
    assert.deepEqual([hook.structs.has(own), hook.structs.has(other)], [true, false])
    const members = hook.structs.get(own)?.members ?? assert.fail()
    const known = [...members].filter(([name]) => named(name) !== undefined)
    assert.deepEqual(
      known.map(([name]) => [name, named(name)]),
      known.map(([name, { offset }]) => [name, offset]),
    )
    assert.equal(known.length, registers)
  })
}

test('processors: an unknown one is refused with the list of known ones', () => {
  const out = join(scratch, 'riscv')
  const build = (): Buffer =>
    execFileSync('make', ['-s', '-C', join(ROOT, 'bpf'), 'ARCH=riscv', `OUT=${out}`, join(out, 'layout.bpf.o')], {
      stdio: 'pipe',
    })
  assert.throws(build, /no registers of this processor: expected ARCH=x86 or ARCH=arm64/)
})
