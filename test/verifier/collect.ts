/**
 * Statistics of the verifier about each BPF program of the agent, on the running kernel, as root: `collect.ts FOLDER`, with log.c preloaded, whose
 * file is FOLDER/loads (test/verifier/run.sh). Writes FOLDER/RELEASE.json, RELEASE as in 6.12.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { readKernelFacts } from '../../collector/kernel/read-facts.ts'
import type { AttachMode } from '../../collector/plan/plan.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import { parsePolicy } from '../../config/policy/parse.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { kernelFunctions, kernelSymbols, realTime } from '../../native/index.ts'
import { openKernel } from '../bench/support/kernel.ts'
import { largest, programsOf } from './statistics.ts'

function policy(name: string, spec: object): Policy {
  const kind = { apiVersion: 'ktrail.dev/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec }
  const parsed = parsePolicy(JSON.stringify(kind), `${name}.yaml`)
  if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.policy
}

const path = (operator: string, ...values: string[]): object => ({ index: 0, operator, values })
const RETURN = { return: true, returnArg: { index: 0, type: 'int' } }
const FILE = { call: 'security_file_permission', syscall: false, args: [{ index: 0, type: 'file' }] }

/** One hook with one prefix. */
const plain = (returned: object): Policy =>
  policy('plain', { kprobes: [{ ...FILE, ...returned, selectors: [{ matchArgs: [path('Prefix', '/etc/')] }] }] })

/** Functions in one object, so that each program has the code for all of them: identity, changes, bytes, addresses, members of structs. */
function full(returned: object, loops: boolean): Policy {
  const selectors = [
    {
      matchArgs: [path('Prefix', '/etc/'), path('NotPostfix', '.log')],
      matchNamespaceChanges: [{ operator: 'In', values: ['Net'] }],
    },
    { matchArgs: [path('SubString', 'secret')], matchActions: [{ action: 'Sigkill' }] },
  ]
  const identity = [
    { matchArgs: [{ ...path('UnderDir', '/etc'), sticky: true }] },
    { matchArgs: [path('SameFile', '/etc/shadow')] },
  ]
  const data = [{ type: 'string', source: 'current_task', resolve: 'real_parent.comm' }]
  return policy('full', {
    kprobes: [
      { ...FILE, ...returned, data, fileDetails: true, selectors: loops ? [...selectors, ...identity] : selectors },
      {
        call: 'security_socket_connect',
        syscall: false,
        ...returned,
        args: [
          { index: 0, type: 'socket' },
          { index: 1, type: 'sockaddr' },
        ],
      },
      { call: 'sys_write', ...returned, args: [{ index: 1, type: 'char_buf', sizeArgIndex: 3 }] },
    ],
  })
}

const tracepoints = [{ subsystem: 'sched', event: 'sched_process_exec', args: [{ index: 5, type: 'auto' }] }]
const override = [
  {
    ...FILE,
    selectors: [{ matchArgs: [path('Prefix', '/etc/')], matchActions: [{ action: 'Override', argError: -13 }] }],
  },
]

const folder = process.argv[2] ?? '.'
const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
let mode: AttachMode | 'auto' = 'auto'
{
  using kernel = await openKernel(facts, () => mode, process.pid)
  const load = async (what: string, each: Policy): Promise<void> => {
    const started = performance.now()
    const failure = await kernel.policies.change([], [each]).then(
      (loaded) => kernel.policies.change(loaded, []),
      (error: unknown) => error,
    )
    const outcome =
      failure instanceof Error
        ? `not loaded: ${failure.message.split('\n')[0]}`
        : `${Math.round(performance.now() - started)} ms`
    console.log(`${what}: ${outcome}`)
  }
  await load('kprobe, plain', plain({}))
  await load('kprobe, full', full({}, facts.loops))
  for (mode of ['fexit', 'fentry', 'kprobe.session', 'join'] as const) {
    await load(`${mode}, plain`, plain(RETURN))
    await load(`${mode}, full`, full(RETURN, facts.loops))
  }
  mode = 'auto'
  await load('tracepoint', policy('tracepoint', { tracepoints }))
  await load('raw tracepoint', policy('raw', { tracepoints: [{ ...tracepoints[0], raw: true, args: [] }] }))
  const aggregated = { ...FILE, aggregate: { window: '10s', by: ['process'] } }
  if (facts.loops) await load('aggregate', policy('aggregate', { kprobes: [aggregated] }))
  await load('override', policy('override', { kprobes: override }))
}

const [version = release()] = /^\d+\.\d+/.exec(release()) ?? []
const loads = programsOf(readFileSync(join(folder, 'loads'), 'utf8'))
const programs = largest(loads)
if (programs.length === 0) throw new Error(`expected loads of BPF programs in ${folder}/loads, got none`)
writeFileSync(join(folder, `${version}.json`), `${JSON.stringify({ kernel: release(), programs }, null, 1)}\n`)
console.log(`${version}: ${programs.length} programs of ${loads.length} loads`)
