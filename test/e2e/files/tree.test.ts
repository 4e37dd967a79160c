/**
 * Random steps in a tree on file systems of their own (KTRAIL_COVERAGE_ON, default tmpfs): a model says which accesses a policy with `UnderDir`
 * reports. KTRAIL_STEPS steps of seed KTRAIL_SEED; `make random-tree` does 100,000.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { FILE_SYSTEMS, mountFileSystem } from './file-system.ts'
import { compareTree, runTree } from './tree.ts'
import type { TreeRun } from './tree.ts'
import { makeProgram } from '../../support/programs.ts'

/** docs/reference/kernels.md */
const NEEDS = 'UnderDir needs 5.17'
const skip = cannotRun() || (!kernelAtLeast(5, 17) && NEEDS)
if (skip !== false) console.log(`tree: skipped: ${skip}`)
const own = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const ON = FILE_SYSTEMS.filter((name) => (process.env['KTRAIL_COVERAGE_ON'] ?? 'tmpfs').split(' ').includes(name))
const STEPS = Number(process.env['KTRAIL_STEPS'] || 2000)
const SEED = Number(process.env['KTRAIL_SEED'] || 1)

/** The shipped policy's hook on new sizes, below one folder. */
function policy(watched: string): string {
  const document = parse(readFileSync(own('config/policies/optional/file-integrity.yaml'), 'utf8'))
  const [hook] = document.spec.kprobes.filter(({ call }: { readonly call: string }) => call === 'vfs_truncate')
  hook.selectors = [{ matchArgs: [{ index: 0, operator: 'UnderDir', values: [watched] }] }]
  document.metadata = { name: 'tree' }
  document.spec.kprobes = [hook]
  return JSON.stringify(document)
}

describe('tree', { skip }, () => {
  for (const on of ON) {
    it(`${on}: ${STEPS} random steps (KTRAIL_SEED=${SEED})`, async (t) => {
      const program = join(freshFolder('tree'), 'tree')
      makeProgram('e2e/tree', program)
      const top = mountFileSystem(on)
      const [watched, outside] = [mkdtempSync(join(top, 'watched')), mkdtempSync(join(top, 'outside'))]
      await using agent = await TestAgent.start({ policies: { 'tree.yaml': policy(watched) } })
      let run: TreeRun | undefined
      const lines = await agent.during(() => (run = runTree(program, watched, outside, STEPS, SEED)))
      assert.ok(run !== undefined)
      const { pid } = run
      const records = lines.flatMap(({ process_kprobe: record }) => (record?.process?.pid === pid ? [record] : []))
      const { sure, ...wrong } = compareTree(run, records)
      t.diagnostic(`${on}: ${records.length} events, the model was sure of ${sure} accesses`)
      assert.deepEqual(wrong, { missed: [], unwanted: [] })
      assert.ok(sure > STEPS / 3, `the model was sure of ${sure} accesses`)
      assert.deepEqual(
        agent.log().filter(({ level = 0 }) => level >= 40),
        [],
      )
    })
  }
})
