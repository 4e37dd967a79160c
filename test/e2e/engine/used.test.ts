/**
 * A policy pays only for the features that it uses. The verifier removes the code that constants rule out: a function's program in the kernel has
 * no code for selectors that no policy on the function has.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test, { after, before, describe } from 'node:test'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { Pods } from '../../../collector/identity/pods.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { verified } from '../../bench/support/kernel.ts'
import { cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { path, policy } from '../support/policy.ts'

const skip = cannotRun()
const FUNCTION = 'security_file_permission'
const ELSEWHERE = 'security_file_open'
const OUTPUT_BYTES = 64 << 20
/** The verifier takes more than a third of the time of a change of policies. It checks some 30,000 instructions on Linux 6.12, 36,000 on 7.3. */
const MOST_VERIFIED = 40_000

/** Instructions, functions and maps that can be reached from the start of a program. */
interface Program {
  readonly instructions: number
  readonly functions: ReadonlySet<string>
  readonly maps: ReadonlySet<string>
}

const bpftool = (...args: string[]): string =>
  execFileSync('bpftool', args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES })

/** Names of all maps by their id. */
function mapNames(): ReadonlyMap<string, string> {
  const maps: ReadonlyArray<{ readonly id: number; readonly name?: string }> = JSON.parse(bpftool('-j', 'map', 'show'))
  return new Map(maps.map(({ id, name = '' }) => [String(id), name]))
}

interface FunctionCode {
  readonly name: string
  readonly instructions: string[]
  /** Starts of the functions that it calls or passes as callbacks. */
  readonly calls: number[]
}

/** The functions of a program by the number of their first instruction. */
function functionsOf(dump: string): Map<number, FunctionCode> {
  const functions = new Map<number, FunctionCode>()
  let name: string | undefined
  let present: FunctionCode | undefined
  for (const line of dump.split('\n')) {
    const [, at, instruction] = /^ *(\d+): (.*)/.exec(line) ?? []
    if (at === undefined || instruction === undefined) {
      name = /(\w+)\(.*\):$/.exec(line)?.[1] ?? name
      continue
    }
    if (name !== undefined) {
      present = { name, instructions: [], calls: [] }
      functions.set(Number(at), present)
      name = undefined
    }
    const call = /call pc([+-]\d+)|= subprog\[([+-]\d+)\]/.exec(instruction)
    if (call !== null) present?.calls.push(Number(at) + 1 + Number(call[1] ?? call[2]))
    present?.instructions.push(instruction)
  }
  return functions
}

/** Kernels before 6.8 also keep functions that are not called. */
function programOf(dump: string, names: ReadonlyMap<string, string>): Program {
  const functions = functionsOf(dump)
  const reached = new Set<FunctionCode>()
  const follow = (at: number): void => {
    const code = functions.get(at)
    assert.ok(code !== undefined, `no function begins at ${at} of\n${dump.slice(0, 1000)}`)
    if (reached.has(code)) return
    reached.add(code)
    for (const call of code.calls) follow(call)
  }
  follow(0)
  const instructions = [...reached].flatMap((code) => code.instructions)
  const ids = new Set(instructions.flatMap((instruction) => /map\[id:(\d+)\]/.exec(instruction)?.[1] ?? []))
  return {
    instructions: instructions.length,
    functions: new Set([...reached].map(({ name }) => name)),
    maps: new Set([...ids].map((id) => names.get(id) ?? assert.fail(`no map has the id ${id}`))),
  }
}

/** A policy with one hook, whose selector has these filters beside one on the path. */
function parsed(filters: object, call = FUNCTION): Policy {
  const selectors = [{ matchArgs: [path('Prefix', '/etc/')], ...filters }]
  const args = [{ index: 0, type: 'file' }]
  const result = parsePolicy(policy('used', [{ call, syscall: false, args, selectors }]), 'used.yaml')
  if ('problems' in result) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.policy
}

/** `images` is not listed, because actions read it too. */
const PROCESSES = {
  functions: ['ask_process', 'evaluate_process', 'evaluate_program', 'evaluate_pids'],
  maps: ['verdicts', 'evaluations', 'conditions', 'generation', 'program_starts', 'program_ends', 'condition_pids'],
}
const BINARIES = { matchBinaries: [{ operator: 'In', values: ['/usr/bin/none'], followChildren: true }] }

/** Functions and maps that a program has only if its policy needs them. */
const ROWS: ReadonlyArray<{ readonly filters: object; readonly functions: string[]; readonly maps: string[] }> = [
  { filters: BINARIES, ...PROCESSES },
  { filters: { matchParentBinaries: [{ operator: 'Prefix', values: ['/usr/bin/none'] }] }, ...PROCESSES },
  { filters: { matchPIDs: [{ operator: 'In', values: [2] }] }, ...PROCESSES },
  {
    filters: { matchNamespaces: [{ namespace: 'Mnt', operator: 'In', values: ['1'] }] },
    functions: ['ask_selector_round'],
    maps: [],
  },
  {
    filters: { matchNamespaceChanges: [{ operator: 'In', values: ['Net'] }] },
    functions: ['change_matches'],
    maps: ['changed', 'privileges'],
  },
  { filters: { matchWorkloads: { hostSelector: {} } }, functions: ['find_workload'], maps: ['workloads'] },
]

describe('parts of a program', { skip }, () => {
  let kernel: KernelSide
  let without: Program

  before(async () => {
    const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
    const sizes = { ringBytes: 1 << 20, watermarkBytes: 1 << 19 }
    const workloads = new Workloads(new Pods())
    kernel = await KernelSide.open({ facts, mode: 'auto', ...sizes, agentPid: process.pid, workloads })
    await workloads.scan('/proc')
    without = await only(parsed({}))
  })
  after(() => kernel?.[Symbol.dispose]())

  /** The programs of the functions of these policies. */
  async function programs(...policies: Policy[]): Promise<Program[]> {
    const loaded = await kernel.policies.change([], policies)
    const list: ReadonlyArray<{ readonly id: number; readonly name?: string }> = JSON.parse(
      bpftool('-j', 'prog', 'list'),
    )
    const names = mapNames()
    const found = list
      .filter(({ name }) => name?.startsWith('hook_') === true)
      .map(({ id }) => programOf(bpftool('prog', 'dump', 'xlated', 'id', String(id)), names))
    assert.equal(found.length, policies.length)
    await kernel.policies.change(loaded, [])
    return found
  }
  async function only(...policies: Policy[]): Promise<Program> {
    const [program, ...others] = await programs(...policies)
    assert.ok(program !== undefined && others.length === 0)
    return program
  }

  for (const { filters, functions, maps } of ROWS) {
    test(`only programs whose policies have ${Object.keys(filters).join()} contain its code and maps`, async (t) => {
      const asking = await only(parsed(filters))
      t.diagnostic(`instructions: ${without.instructions} without, ${asking.instructions} with`)
      assert.ok(without.instructions < asking.instructions)
      assert.deepEqual(
        [...asking.functions].filter((name) => functions.includes(name)).toSorted(),
        functions.toSorted(),
      )
      assert.deepEqual([...asking.maps].filter((name) => maps.includes(name)).toSorted(), maps.toSorted())
      assert.deepEqual(
        [...without.functions].filter((name) => functions.includes(name)),
        [],
      )
      assert.deepEqual(
        [...without.maps].filter((name) => maps.includes(name)),
        [],
      )
    })
  }

  const more = !kernelAtLeast(6, 8) && 'before Linux 6.8 the verifier also looks at functions that are not called'
  test(`the verifier checks at most ${MOST_VERIFIED} instructions`, { skip: more }, async (t) => {
    const known = verified()
    const loaded = await kernel.policies.change([], [parsed({})])
    const counts = [...verified()].filter(([id]) => !known.has(id)).map(([, count]) => count)
    await kernel.policies.change(loaded, [])
    t.diagnostic(`instructions: ${counts.join(' and ')}`)
    const most = Math.max(...counts)
    assert.ok(most > 1000 && most <= MOST_VERIFIED)
  })

  test('a policy on another function, loaded in the same change, adds no instruction', async () => {
    const both = await programs(parsed({}), parsed(BINARIES, ELSEWHERE))
    const asking = both.filter(({ functions }) => functions.has('ask_process'))
    const others = both.filter(({ functions }) => !functions.has('ask_process'))
    assert.equal(asking.length, 1)
    assert.deepEqual(others, [without])
  })
})
