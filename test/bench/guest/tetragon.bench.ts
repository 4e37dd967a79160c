/**
 * ktrail beside a build of Tetragon that the user brings (make compare-tetragon DIR=folder): both as whole agents with the same policies, one
 * after the other in one boot. The guest's clock counts instructions (run.sh --counted). While calls are measured an agent is stopped, so that
 * only its part in the kernel counts; between them it empties its ring.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { countLines } from '../../e2e/support/faults.ts'
import { threadUse, usedBetween } from '../../support/idle.ts'
import { memoryOf } from '../../support/memory.ts'
import { Reader, policyText } from '../support/pread.ts'
import { COUNTED, leaveOut, median, printResult, show } from '../support/result.ts'

const TETRAGON = process.env['TETRAGON'] ?? ''
if (TETRAGON === '' || !COUNTED)
  leaveOut(
    'it needs a build of Tetragon: make compare-tetragon DIR=folder, with its program `tetragon` and its objects in `bpf/`',
  )
accessSync(join(TETRAGON, 'tetragon'), constants.X_OK)
accessSync(join(TETRAGON, 'bpf/bpf_generic_kprobe.o'))

const FILES = ['/run/watched/f', '/run/other/f', '/tmp/x', 'exec'] as const
type File = (typeof FILES)[number]
const [HIT, BESIDE, ELSEWHERE, EXEC] = FILES
const BATCHES = 21
/** Records of a batch fit into Tetragon's ring of 64 KiB. */
const CALLS: Readonly<Record<File, number>> = { [HIT]: 20, [BESIDE]: 50, [ELSEWHERE]: 50, [EXEC]: 5 }
const BURST = 20_000
const DRAIN_MS = 500
const REST_MS = 60_000
const IDLE_MS = 20_000
const READY_WITHIN_MS = 600_000

using reader = await Reader.start(FILES)
const count = (file: File): Promise<number> => reader.measure(FILES.indexOf(file), 1, CALLS[file])

/** Instructions of each kind of call, of each the median of its batches; `each` makes one batch. */
async function medians(each: (file: File) => Promise<number> = count): Promise<number[]> {
  const found: number[] = []
  for (const file of FILES) {
    const batches: number[] = []
    while (batches.length < BATCHES) batches.push(await each(file))
    found.push(median(batches))
  }
  return found
}

interface Agent {
  readonly name: string
  /** The command that runs it with the policies of a folder; it appends events as JSON lines to `output`. */
  command(folder: string, policies: string, output: string): readonly string[]
}

const AGENTS: readonly Agent[] = [
  {
    name: 'ktrail',
    command: (folder, policies, output) => {
      const config = join(folder, 'ktrail.yaml')
      const exporters = { out: { type: 'file', path: output } }
      const server = { http: '127.0.0.1:0', grpc: `unix://${folder}/api.sock` }
      writeFileSync(config, JSON.stringify({ policies: [policies], server, exporters }))
      return ['./ktrail', 'run', '--config', config]
    },
  },
  {
    name: 'Tetragon',
    command: (folder, policies, output) => {
      const socket = `unix://${folder}/api.sock`
      const files = ['--bpf-lib', join(TETRAGON, 'bpf'), '--tracing-policy-dir', policies, '--export-filename', output]
      // Not rotated within a burst, which would move events away from where they are counted.
      const ring = ['--rb-size-total', '16M']
      return [
        join(TETRAGON, 'tetragon'),
        ...files,
        ...ring,
        '--export-file-max-size-mb',
        '1000',
        '--server-address',
        socket,
      ]
    },
  },
]

/** An agent that runs, its events, and the time from its start to the first event of each policy. */
class Running implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #output: string
  readonly readyMs: number

  private constructor(child: ChildProcess, output: string, readyMs: number) {
    this.#child = child
    this.#output = output
    this.readyMs = readyMs
  }

  static async start({ name, command }: Agent, policies: number): Promise<Running> {
    const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
    const names = Array.from({ length: policies }, (_, i) => `bench-${i}`)
    mkdirSync(join(folder, 'policies'))
    for (const each of names)
      writeFileSync(join(folder, 'policies', `${each}.yaml`), policyText(true, ['/run/watched/'], each))
    const [output, log] = [join(folder, 'events.jsonl'), join(folder, 'log')]
    const startMs = performance.now()
    const [program = '', ...words] = command(folder, join(folder, 'policies'), output)
    const logged = openSync(log, 'w')
    const child = spawn(program, words, { stdio: ['ignore', logged, logged] })
    const running = (readyMs: number): Running => new Running(child, output, readyMs)
    while (names.some((each) => seen(output, `"policy_name":"${each}"`) === 0)) {
      if (child.exitCode !== null || performance.now() - startMs > READY_WITHIN_MS)
        throw new Error(
          `${name} showed no event of each policy; the end of its log:\n${readFileSync(log, 'utf8').slice(-8_000)}`,
        )
      await reader.measure(0, 1, 1)
      await setTimeout(DRAIN_MS)
    }
    return running(performance.now() - startMs)
  }

  /** Instructions of a call with it. */
  async count(file: File): Promise<number> {
    this.#child.kill('SIGSTOP')
    const counted = await count(file)
    this.#child.kill('SIGCONT')
    await setTimeout(DRAIN_MS)
    return counted
  }

  /** Events of BURST reads at full speed. */
  async burst(): Promise<number> {
    const before = this.#hits()
    await reader.measure(0, 1, BURST)
    for (let last = -1; last < this.#hits(); await setTimeout(5_000)) last = this.#hits()
    return this.#hits() - before
  }

  async atRest(): Promise<{ readonly residentMB: number; readonly cpuMs: number }> {
    await setTimeout(REST_MS)
    const pid = this.#child.pid ?? 0
    const start = threadUse(pid)
    await setTimeout(IDLE_MS)
    const cpuMs = usedBetween(start, threadUse(pid)).reduce((sum, thread) => sum + thread.cpuMs, 0)
    return { residentMB: memoryOf(pid).residentBytes / 1e6, cpuMs }
  }

  #hits(): number {
    return seen(this.#output, `"path":"${HIT}"`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill()
    await ended
  }
}

const seen = (output: string, text: string): number => (existsSync(output) ? countLines(output, text) : 0)

const without = await medians()
const columns: number[][] = []
for (const agent of AGENTS) {
  const measured: number[] = []
  let counts: number[]
  {
    await using one = await Running.start(agent, 1)
    counts = await medians((file) => one.count(file))
    const { residentMB, cpuMs } = await one.atRest()
    measured.push(await one.burst(), one.readyMs / 1000, residentMB, cpuMs)
  }
  {
    await using ten = await Running.start(agent, 10)
    const tenth = await medians((file) => (file === ELSEWHERE ? ten.count(file) : Promise.resolve(0)))
    counts.push(tenth[FILES.indexOf(ELSEWHERE)] ?? Number.NaN)
  }
  // Again, because a boot's processes take more instructions later than at its beginning.
  const after = await medians()
  const added = counts.map((each, i) => each - (after[i % FILES.length] ?? Number.NaN))
  columns.push([...added, ...measured])
}

const INSTRUCTIONS = 'instructions added'
const ROWS = [
  ['a read that matches', INSTRUCTIONS],
  ['a read in a folder beside', INSTRUCTIONS],
  ['a read elsewhere', INSTRUCTIONS],
  ['fork, exec and exit', INSTRUCTIONS],
  ['a read elsewhere, ten policies', INSTRUCTIONS],
  [`events of ${show(BURST)} reads at full speed`, 'events'],
  ['start to the first event', 's'],
  ['resident memory at rest', 'MB'],
  ['processor time in 20 idle seconds', 'ms'],
] as const
const [ours = [], theirs = []] = columns
printResult(
  'tetragon',
  ROWS.flatMap(([name, unit], i) => [
    { name: `${name}, ktrail`, value: ours[i] ?? Number.NaN, unit },
    { name: `${name}, Tetragon`, value: theirs[i] ?? Number.NaN, unit },
    { name: `${name}, Tetragon ÷ ktrail`, value: (theirs[i] ?? Number.NaN) / (ours[i] ?? Number.NaN), unit: '×' },
  ]),
  [
    {
      title: 'ktrail and Tetragon, whole agents in one boot with one processor',
      columns: ['', ...AGENTS.map(({ name }) => name), 'Tetragon ÷ ktrail'],
      rows: ROWS.map(([name, unit], i) => [
        `${name}, ${unit}`,
        ...columns.map((values) => show(values[i] ?? Number.NaN, unit === 's' ? 1 : 0)),
        show((theirs[i] ?? Number.NaN) / (ours[i] ?? Number.NaN), 2),
      ]),
      notes: [
        'security_file_permission has one hook, prefix /run/watched/, with its return value. The emulator counts instructions, and a second is 10⁹ of them.',
        `Without an agent a read takes ${show(without[0] ?? 0)} instructions, and fork, exec and exit take ${show(without[3] ?? 0)}. Each agent is compared with the figures after its end. From run to run, fork, exec and exit differ by some 10,000.`,
        'Both have a ring of 16 MiB, the default of ktrail; all else is as the agents come.',
      ],
    },
  ],
)
