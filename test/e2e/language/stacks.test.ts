/** Stack traces: a small program opens a file below two functions of its own, and records name the callers. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import type { FrameRecord, KprobeRecord } from '../support/record.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('stacks') : '/none'
const program = join(folder, 'program')
const file = join(folder, 'file')

const OPENED = { call: 'security_file_open', syscall: false, args: [{ index: 0, type: 'file' }] }
const RETURNS = { return: true, returnArg: { index: 0, type: 'int' } }
const BOTH = { kernelStackTrace: true, userStackTrace: true }
const hookOf = (hook: object, asks: object): object => ({
  ...hook,
  selectors: [
    {
      matchBinaries: [{ operator: 'In', values: [program] }],
      matchArgs: [{ index: 0, operator: 'Equal', values: [file] }],
      matchActions: [{ action: 'Post', ...asks }],
    },
  ],
})

const HOOKS: Readonly<Record<string, object>> = {
  both: hookOf(OPENED, BOTH),
  returned: hookOf({ ...OPENED, ...RETURNS }, BOTH),
  kernel: hookOf(OPENED, { kernelStackTrace: true }),
  neither: hookOf(OPENED, {}),
}

const symbols = (frames: readonly FrameRecord[] = []): string[] => frames.flatMap(({ symbol }) => symbol ?? [])

/** Runs the program until each policy has an event. */
async function run(agent: TestAgent, records: Map<string, KprobeRecord>): Promise<void> {
  const from = agent.lines().length
  const child = spawn(program, [file], { stdio: ['pipe', 'ignore', 'inherit'] })
  await agent.until('an event of each policy', () => {
    for (const { process_kprobe: kprobe } of agent.lines().slice(from)) {
      if (kprobe?.policy_name !== undefined) records.set(kprobe.policy_name, kprobe)
    }
    return records.size === Object.keys(HOOKS).length
  })
  child.stdin.end()
  await once(child, 'exit')
}

describe('stacks', { skip }, () => {
  let agent: TestAgent
  const records = new Map<string, KprobeRecord>()

  before(async () => {
    makeProgram('e2e/language/stacks', program)
    writeFileSync(file, 'x')
    const policies = Object.entries(HOOKS).map(([name, hook]) => [`${name}.yaml`, policy(name, [hook])])
    agent = await TestAgent.start({ policies: Object.fromEntries(policies) })
    // In an emulator the first stacks take longer than the agent waits for them.
    await run(agent, new Map())
    await run(agent, records)
  })
  after(() => agent?.[Symbol.asyncDispose]())

  for (const name of ['both', 'kernel', 'returned']) {
    test(`stacks: of policy ${name} the kernel's functions lead from the system call to the hooked one`, () => {
      const names = symbols(records.get(name)?.kernel_stack_trace)
      assert.equal(names[0], 'security_file_open', names.join(' '))
      assert.ok(!names.some((each) => each.startsWith('bpf_')), names.join(' '))
      // Before 5.16 the return probe of the policy `returned` hides the callers from the others.
      if (!kernelAtLeast(5, 16) && names.at(-1) === 'kretprobe_trampoline') return
      assert.ok(
        names.some((each) => /^do_fil[pe]_open$/.test(each)),
        names.join(' '),
      )
      assert.ok(
        names.some((each) => /^(?:do_syscall_64|invoke_syscall)$/.test(each)),
        names.join(' '),
      )
    })
  }

  for (const name of ['both', 'returned']) {
    test(`stacks: of policy ${name} the program's functions have file, offset and name`, () => {
      const frames = records.get(name)?.user_stack_trace ?? []
      const text = JSON.stringify(frames)
      assert.match(frames[0]?.module ?? '', /\/libc\.so\.6$/, text)
      assert.equal(frames[0]?.symbol, 'syscall', text)
      const own = frames.filter(({ module }) => module === program)
      assert.deepEqual(symbols(own).slice(0, 2), ['middle', 'main'], text)
      const sizes = execFileSync('nm', ['-S', program], { encoding: 'utf8' })
      for (const { symbol = '', offset } of own.slice(0, 2)) {
        const [, start = '', length = ''] = new RegExp(`^([0-9a-f]+) ([0-9a-f]+) T ${symbol}$`, 'm').exec(sizes) ?? []
        const within = Number(offset) - Number.parseInt(start, 16)
        assert.ok(
          within > 0 && within < Number.parseInt(length, 16),
          `${symbol}: ${offset} is not in ${start}+${length}`,
        )
      }
    })
  }

  test('stacks: a policy has only its own stacks, without addresses unless expose_stack_addresses is set', () => {
    assert.equal(records.get('kernel')?.user_stack_trace, undefined)
    assert.equal(records.get('neither')?.kernel_stack_trace, undefined)
    assert.equal(records.get('neither')?.user_stack_trace, undefined)
    for (const { kernel_stack_trace: kernel = [], user_stack_trace: user = [] } of records.values())
      assert.ok([...kernel, ...user].every(({ address }) => address === undefined))
  })
})
