/** Features of a kernel → the object that is loaded. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { hookObject, processObject } from '../../../../collector/plan/objects.ts'
import { builtFile } from '../../../../native/index.ts'
import { kernel } from '../support/facts.ts'

for (const [facts, file] of [
  [kernel(5, 10), 'hook.bounded.bpf.o'],
  [kernel(6, 1), 'hook.probe.bpf.o'],
  [kernel(6, 2), 'hook.typed_old.bpf.o'],
  [kernel(6, 12), 'hook.typed.bpf.o'],
  [kernel(7, 0), 'hook.typed_ctx.bpf.o'],
  [kernel(6, 12, { session: 'context' }), 'hook.typed_ctx.bpf.o'],
  [kernel(5, 14, { loops: true, typedLoads: true }), 'hook.typed_old.bpf.o'],
] as const) {
  test(`objects: ${facts.release}, session ${facts.session}, loads ${file}`, () => {
    assert.equal(hookObject(facts), file)
    assert.ok(existsSync(builtFile(file)), `${file} is built`)
  })
}

for (const [facts, file] of [
  [kernel(5, 10), 'process.bounded.bpf.o'],
  [kernel(5, 17), 'process.bpf.o'],
  [kernel(5, 10, { loops: true }), 'process.bpf.o'],
] as const) {
  test(`objects: ${facts.release}, bpf_loop ${facts.loops}, loads ${file}`, () => {
    assert.equal(processObject(facts), file)
    assert.ok(existsSync(builtFile(file)), `${file} is built`)
  })
}
