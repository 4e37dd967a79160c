/**
 * Counts the instructions that each tool adds to calls, in a guest whose clock counts instructions (run.sh --counted):
 * `node test/bypass/cost.ts OUTPUT TOOLS [NAME...]`, with the arguments of run.ts. The guest has one processor.
 */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  writeFileSync,
} from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { textOf } from '../../exporters/contract/errors.ts'
import { mountFileSystem } from '../e2e/files/file-system.ts'
import { freshFolder } from '../e2e/support/agent.ts'
import { makeProgram } from '../support/programs.ts'
import { CALLS, NONE, WORKLOADS } from './page-cost.ts'
import type { Cost, Costs, ToolCost, Workload } from './page-cost.ts'
import { TOOLS, mountTools } from './tools/all.ts'
import { broughtIn } from './tools/brought.ts'
import type { Place, Tool } from './tools/tool.ts'

const ON = 'xfs'
/** A tool is at rest if the other threads use less than this in a pause. */
const [PAUSE_MS, REST_NS, PAUSES_MAX] = [200, 300_000, 300]
const SETTLE_MS = 10_000
/** Pauses in which the use of a tool at rest is counted. */
const RESTS = 10

const [, , to = '', tools = '', ...wanted] = process.argv
const program = join(freshFolder('cost'), 'cost')
makeProgram('e2e/cost', program)

/** The time of all threads but those of this process. Their files stay open, because some tools report each open. */
class Others implements Disposable {
  readonly #files = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) =>
      readdirSync(`/proc/${pid}/task`).map((tid) => openSync(`/proc/${pid}/task/${tid}/schedstat`, 'r')),
    )
  readonly #bytes = Buffer.alloc(100)
  /** The time of each thread when it was last read. */
  readonly #ns = this.#files.map(() => 0)

  ns(): number {
    for (const [i, file] of this.#files.entries()) {
      try {
        this.#ns[i] = Number.parseInt(this.#bytes.toString('latin1', 0, readSync(file, this.#bytes, 0, 100, 0)), 10)
      } catch {
        // The thread has ended, and uses no more.
      }
    }
    return this.#ns.reduce((sum, each) => sum + each, 0)
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) closeSync(file)
  }
}

/** Nanoseconds of the other threads until they are at rest, without those that they use at rest. */
async function spent(others: Others, work: () => void): Promise<number> {
  const rests: number[] = []
  let begun = others.ns()
  for (let i = 0; i < RESTS; i++) {
    await setTimeout(PAUSE_MS)
    const now = others.ns()
    rests.push(now - begun)
    begun = now
  }
  // Not the mean: in some pauses, garbage of the time before is collected.
  const restNs = rests.toSorted((a, b) => a - b)[RESTS >> 1] ?? 0
  work()
  for (let i = 1, last = begun; i <= PAUSES_MAX; i++) {
    await setTimeout(PAUSE_MS)
    const now = others.ns()
    if (now - last < restNs + REST_NS) return now - begun - i * restNs
    last = now
  }
  throw new Error(`expected the other threads at rest after ${PAUSES_MAX} pauses of ${PAUSE_MS} ms, got more work`)
}

async function costOf({ call, isWatched }: Workload, { watched, outside }: Place): Promise<Cost> {
  using others = new Others()
  let inCall = 0
  const work = (): void => {
    const folder = join(isWatched ? watched : outside, 'files')
    inCall = Number(execFileSync(program, [call, folder, String(CALLS)], { encoding: 'utf8' }))
  }
  // The first time, programs are compiled and caches filled.
  await spent(others, work)
  return { call: inCall, tool: (await spent(others, work)) / CALLS }
}

async function costs(place: Place): Promise<ToolCost> {
  const found: Record<string, Cost> = {}
  for (const workload of WORKLOADS) found[workload.name] = await costOf(workload, place)
  return { calls: found }
}

/** Ticks of this process's children that have ended (proc(5): cutime, cstime). */
function childrenNs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) * 10_000_000
}

function prepared(top: string): Place {
  const [watched, outside] = ['watched', 'outside'].map((name) => mkdtempSync(join(top, name))) as [string, string]
  for (const folder of [watched, outside]) {
    mkdirSync(join(folder, 'files'))
    for (let i = 0; i < CALLS; i++) writeFileSync(join(folder, 'files', String(i)), 'x')
  }
  return { watched, outside, fewHooks: true }
}

async function counted(tool: Tool): Promise<ToolCost> {
  await using running = await tool.start(place)
  await running.begins?.({ name: 'files', pid: 0, folder: join(place.watched, 'files') })
  if (running.baseline === undefined) return await costs(place)
  running.baseline()
  const begun = childrenNs()
  await running.reports()
  return { scan: childrenNs() - begun }
}

mountTools(tools)
const top = mountFileSystem(ON)
const place = prepared(top)
// The kernel has work of its own after the boot.
await setTimeout(SETTLE_MS)
const all: Record<string, ToolCost> = { [NONE]: await costs(place) }
const isAudit = (name: string): boolean => name.startsWith('auditd')
// Once enabled, audit costs each system call of a new process something, also without rules.
const order = [...TOOLS, ...broughtIn(process.env['BROUGHT'] ?? '')].toSorted(
  (a, b) => Number(isAudit(a.name)) - Number(isAudit(b.name)),
)
for (const tool of order.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  // A tool that fails is left out, so that the page has the others.
  const found = await counted(tool).catch((error: unknown) => void console.error(`${tool.name}: ${textOf(error)}`))
  if (found !== undefined) all[tool.name] = found
  console.log(tool.name, JSON.stringify(found))
  const whole: Costs = { kernel: release(), on: ON, costs: all }
  writeFileSync(to, `${JSON.stringify(whole, undefined, 2)}\n`)
}
