/** `ktrail check` searches the kernel of this machine for the functions of a policy, and only warns. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import { lackingOf } from '../../../../../collector/plan/plan.ts'
import type { Symbols } from '../../../../../collector/plan/plan.ts'
import type { KernelFunction } from '../../../../../native/types.ts'
import { hasBtf } from '../../../../../native/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'ktrail-check-'))
after(() => rmSync(folder, { recursive: true }))

const head =
  'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p, annotations: {ktrail.one-of/x: "a_b, c_d"}}\n'
const POLICY = `${head}spec:
  kprobes:
  - {call: fd_instal, syscall: false}
  - {call: fd_install, syscall: false, args: [{index: 0, type: file}, {index: 4, type: int}]}
  - {call: vfs_reed, syscall: false}
  - {call: vfs_rite, syscall: false, ignore: {callNotFound: true}}
  - {call: a_b, syscall: false, ignore: {callNotFound: true}}
  - {call: c_d, syscall: false, ignore: {callNotFound: true}}
`

test('check: all functions and arguments that a kernel lacks are named at their places, optional ones are not', () => {
  const type: KernelFunction = {
    returns: 'void',
    returnsBase: 'void',
    params: [{ name: 'fd', type: 'unsigned int', base: 'unsigned int', sizeBytes: 4 }],
  }
  const symbols: Symbols = {
    functionType: (name) => (name === 'fd_install' ? type : undefined),
    functionNames: () => ['fd_install'],
    tracepoints: { format: () => undefined, names: () => [] },
    generated: () => [],
    loadOf: () => '',
    memberOf: () => undefined,
  }
  const parsed = parsePolicy(POLICY, 'p.yaml')
  assert.ok('policy' in parsed)
  const found = lackingOf(parsed.policy, { arch: 'x64' }, symbols)
  assert.deepEqual(
    found.map(({ line, message }) => `${line} ${message}`),
    [
      '6 no kernel function "fd_instal": did you mean fd_install?',
      `7 argument 0 of fd_install: type "file" does not fit, the kernel's is "unsigned int"`,
      '7 argument index 4 of fd_install: expected 0 to 0, because the function has 1 argument',
      '8 no kernel function "vfs_reed": see /proc/kallsyms for the names in this kernel',
      '1 this kernel has none of a_b, c_d, so the policy does not see x',
    ],
  )
})

test('check: what this kernel lacks is a warning, the exit code stays 0', async (t) => {
  if (!hasBtf()) return t.skip('this machine has no /sys/kernel/btf/vmlinux')
  const file = join(folder, 'p.yaml')
  writeFileSync(file, POLICY)
  let out = ''
  const code = await ktrail(['check', file], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: () => {},
    nowMs: () => 0,
  })
  assert.equal(code, 0, out)
  const asked = `(kernel of this machine: ${release()})`
  assert.ok(
    out.includes(`p.yaml:6:5: warning: no kernel function "fd_instal": did you mean fd_install? ${asked}\n`),
    out,
  )
  assert.match(out, /:7:\d+: warning: argument index 4 of fd_install: /)
})
