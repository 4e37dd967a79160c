/**
 * Policies change while a program calls the function that they hook: each call is reported once by the policy that stays,
 * and once by one of the policies that replace one another. KTRAIL_CHANGES changes for each way of attaching.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { describe } from 'node:test'
import { text } from 'node:stream/consumers'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import type { PolicyDocument } from '../../support/policies/documents.ts'
import { LoadedKernel } from '../../support/policies/loading.ts'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
/** Each change has other values, the second and the third also another type; `make policy-changes` makes 1,000 changes. */
const CHANGES = Number(process.env['KTRAIL_CHANGES'] || 3)
const RING_BYTES = 256 << 20
const THREADS = 2
const folder = skip === false ? freshFolder('changes') : '/none'
const file = join(folder, 'f')
const binary = join(folder, 'preads')

/** `number`: its values differ, so that each version has other contents of its maps. */
function policy(name: string, returns: boolean, number: number): PolicyDocument {
  const values = [`/none-${number}/`, ...(number % 2 === 0 ? ['/'] : [folder])]
  return {
    name,
    hooks: [
      {
        call: 'security_file_permission',
        syscall: false,
        return: returns,
        ...(returns ? { returnArg: { index: 0, type: 'int' } } : {}),
        args: [
          { index: 0, type: 'file' },
          { index: 1, type: number % 3 === 0 ? 'uint32' : 'int' },
        ],
        selectors: [
          {
            matchArgs: [
              { index: 0, operator: 'Prefix', values },
              { index: 0, operator: 'Postfix', values: ['/f'] },
              { index: 1, operator: 'Mask', values: ['4'] },
            ],
          },
        ],
      },
    ],
  }
}

/** `auto` is kprobe.multi for a hook without return value, or a plain kprobe if the kernel lacks it. */
const WAYS: ReadonlyArray<readonly [mode: AttachMode | 'auto', returns: boolean]> = [
  ['auto', false],
  ['fexit', true],
  ['fentry', true],
  ['kprobe.session', true],
  ['join', true],
]

describe('changes under load', { skip }, () => {
  test('changes: the reading program compiles', () => {
    makeProgram('e2e/preads', binary)
    writeFileSync(file, 'x')
  })
  for (const [mode, returns] of WAYS) {
    test(`changes: ${CHANGES}, ${mode}, ${returns ? 'with' : 'no'} return value: no call missed, none twice`, async (t) => {
      using kernel = await LoadedKernel.open(mode, RING_BYTES)
      const stays = await kernel.change([], [policy('stays', returns, 0)])
      let other = await kernel.change([], [policy('changes', returns, 1)])
      const reader = spawn(binary, [file, String(THREADS)], { stdio: ['ignore', 'pipe', 'inherit'] })
      const output = text(reader.stdout)
      const events = { stays: 0, changes: 0 }
      const count = (): void =>
        kernel.read([reader.pid ?? 0], ({ hook }) => {
          events[hook.policy === 'stays' ? 'stays' : 'changes']++
        })
      for (let i = 2; i < CHANGES + 2; i++) {
        other = await kernel.change(other, [policy('changes', returns, i)])
        // On a busy machine the threads make events faster than this process counts them.
        reader.kill('SIGSTOP')
        count()
        reader.kill('SIGCONT')
      }
      reader.kill('SIGTERM')
      const calls = Number(await output)
      count()
      const losses = kernel.losses()
      // A program of a trampoline that is preempted hides the calls of other tasks; the kernel counts them.
      const missed = losses['security_file_permission'] ?? 0
      t.diagnostic(`${calls} calls, events ${JSON.stringify(events)}, losses ${JSON.stringify(losses)}`)
      assert.ok(calls > CHANGES * 10, 'the program was reading all the time')
      assert.equal(events.stays + missed, calls)
      assert.equal(events.changes + missed, calls)
      assert.deepEqual(
        Object.keys(losses).filter((name) => name !== 'security_file_permission'),
        [],
      )
      await kernel.change([...stays, ...other], [])
    })
  }
})
