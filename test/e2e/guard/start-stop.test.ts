/**
 * Programs are attached and detached again and again while a program calls the functions: a fault there can hang an agent. KTRAIL_STARTS times,
 * all ways of attaching that the kernel has in turn; every tenth time also the programs of processes.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import { CollectorError } from '../../../collector/errors.ts'
import { closed } from '../../../native/index.ts'
import { added, descriptors, programIds } from '../../integration/native-fixture.ts'
import type { PolicyDocument } from '../../support/policies/documents.ts'
import { LoadedKernel } from '../../support/policies/loading.ts'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { until } from '../support/wait.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
if (skip !== false) console.log(`start-stop: skipped: ${skip}`)
const STARTS = Number(process.env['KTRAIL_STARTS'] || 12)
/** The longest that one start and stop may take, on a busy machine in an emulated guest. */
const HUNG_MS = 60_000
const RING_BYTES = 1 << 20
const folder = skip === false ? freshFolder('start-stop') : '/none'
const file = join(folder, 'f')
const binary = join(folder, 'preads')

/** A hook that matches every call of the reading program, and one more function. */
const policy = (returns: boolean): PolicyDocument => ({
  name: 'again',
  hooks: ['security_file_permission', 'security_mmap_file'].map((call) => ({
    call,
    syscall: false,
    return: returns,
    ...(returns ? { returnArg: { index: 0, type: 'int' } } : {}),
    args: [{ index: 0, type: 'file' }],
    selectors: [{ matchArgs: [{ index: 0, operator: 'Prefix', values: [folder] }] }],
  })),
})

const WAYS: ReadonlyArray<readonly [mode: AttachMode | 'auto', returns: boolean]> = [
  ['auto', false],
  ['kprobe', false],
  ['fexit', true],
  ['fentry', true],
  ['kprobe.session', true],
  ['join', true],
]

/** The ways that this kernel has. */
async function possible(): Promise<typeof WAYS> {
  const ways: Array<(typeof WAYS)[number]> = []
  for (const [mode, returns] of WAYS) {
    using kernel = await LoadedKernel.open(mode, RING_BYTES)
    try {
      await kernel.change(await kernel.change([], [policy(returns)]), [])
      ways.push([mode, returns])
    } catch (error) {
      if (!(error instanceof CollectorError)) throw error
      console.log(`start-stop: without ${mode}: ${error.message}`)
    }
  }
  await closed()
  return ways
}

/** Runs the start and stop; throws if they take too long. Returns the milliseconds. */
async function bounded(what: string, run: () => Promise<void>): Promise<number> {
  const from = performance.now()
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} takes more than ${HUNG_MS} ms`)), HUNG_MS)
  await Promise.race([run(), promise]).finally(() => clearTimeout(timer))
  return performance.now() - from
}

describe('start and stop', { skip }, () => {
  it(`${STARTS} starts and stops under load: none hangs, and nothing stays in the kernel`, async (t) => {
    makeProgram('e2e/preads', binary)
    writeFileSync(file, 'x')
    const ways = await possible()
    assert.ok(ways.length >= 3)
    const reader = spawn(binary, [file, '2'], { stdio: ['ignore', 'ignore', 'inherit'] })
    const [programs, fds] = [programIds(), descriptors()]
    let longest = 0
    const kernels = await Promise.all(ways.map(([mode]) => LoadedKernel.open(mode, RING_BYTES)))
    for (let i = 0; i < STARTS; i++) {
      const [mode, returns] = ways[i % ways.length] ?? ['auto', false]
      const again = async (): Promise<void> => {
        const fresh = i % 10 === 9 ? await LoadedKernel.open(mode, RING_BYTES) : undefined
        const kernel = fresh ?? kernels[i % ways.length]
        assert.ok(kernel !== undefined)
        const loaded = await kernel.change([], [policy(returns)])
        assert.equal(loaded[0]?.hooks.length, 2)
        await kernel.change(loaded, [])
        fresh?.[Symbol.dispose]()
        await closed()
      }
      longest = Math.max(longest, await bounded(`start and stop ${i} (${mode})`, again))
    }
    for (const kernel of kernels) kernel[Symbol.dispose]()
    assert.equal(reader.exitCode, null, 'the program was calling all the time')
    reader.kill('SIGTERM')
    await closed()
    t.diagnostic(
      `${STARTS} starts and stops, ${ways.map(([mode]) => mode).join(', ')}: the longest took ${longest.toFixed(0)} ms`,
    )
    await until('the kernel to free every program', () => added(programIds(), programs).size === 0)
    assert.ok(descriptors() <= fds, `${descriptors()} descriptors, ${fds} before`)
  })
})
