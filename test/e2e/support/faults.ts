/** For tests that inject failures: a workload of a known size, leftovers in the kernel, starts that fail. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freshFolder } from './agent.ts'
import type { TestAgent } from './agent.ts'
import { until } from './wait.ts'
import { makeProgram } from '../../support/programs.ts'

/** The launcher. */
export const KTRAIL = fileURLToPath(new URL('../../../ktrail', import.meta.url))

/** A library that neither the agent nor a test needs, to be preloaded. */
export const PRELOADED = '/usr/lib/x86_64-linux-gnu/libz.so.1'

/** Compiles test/fixtures/e2e-faults/burst.c, once a boot. Not under a folder that a test watches. */
export function burstBinary(): string {
  const path = join(process.env['KTRAIL_TMP'] ?? tmpdir(), 'ktrail-burst')
  if (!existsSync(path)) {
    makeProgram('e2e-faults/burst', `${path}.new`)
    renameSync(`${path}.new`, path)
  }
  return path
}

/** Runs the workload in a process of its own, asynchronously; `wrapper` is put in front (taskset …). */
export function burst(args: ReadonlyArray<string | number>, wrapper: readonly string[] = []): Promise<{ ms: number }> {
  const [file = '', ...words] = [...wrapper, burstBinary(), ...args.map(String)]
  return new Promise((resolve, reject) => {
    execFile(file, words, (error, stdout) => (error === null ? resolve({ ms: Number(stdout) / 1e6 }) : reject(error)))
  })
}

/** A file with one byte, alone in a folder that can be watched by its name. */
export function target(): { readonly folder: string; readonly file: string } {
  const folder = `${freshFolder('watched')}/w/`
  mkdirSync(folder)
  writeFileSync(`${folder}f`, 'x')
  return { folder, file: `${folder}f` }
}

/** Lines of `file` that have this text, counted by grep: 600,000 parsed lines would not fit. 0 when it is missing. */
export function countLines(file: string, text: string): number {
  try {
    return Number(execFileSync('grep', ['-c', '-F', '--', text, file], { encoding: 'utf8' }))
  } catch (error) {
    if (error instanceof Error && 'status' in error && error.status === 1) return 0
    throw error
  }
}

/** Lines that are not JSON. */
export function badLines(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  assert.equal(lines.pop(), '', 'the file ends with a line feed')
  return lines.filter((line) => {
    try {
      JSON.parse(line)
      return false
    } catch {
      return true
    }
  })
}

/** The text that marks a line as an access to this file. */
export const accessOf = (file: string): string => `"file_arg":{"path":${JSON.stringify(file)}`

const PROGRAM =
  /^(?:hook_(?:entry|fexit|fentry|left|session|enter|leave)_|process_(?:fork|move|exec|exit)|cgroup_(?:made|gone)$)/

function bpftool(...args: string[]): unknown[] {
  const list: unknown = JSON.parse(execFileSync('bpftool', ['-j', ...args], { encoding: 'utf8' }))
  return Array.isArray(list) ? list : []
}

function fieldsOf(item: unknown): Readonly<Record<string, unknown>> {
  return typeof item === 'object' && item !== null ? Object.fromEntries(Object.entries(item)) : {}
}

/** Everything of an agent that a kernel could still hold: programs, links, maps, pins, the lock. Empty if clean. */
export function leftovers(): string[] {
  const programs = bpftool('prog', 'list')
    .map(fieldsOf)
    .filter(({ name }) => PROGRAM.test(String(name)))
  const ids = new Set(programs.map(({ id }) => id))
  const links = bpftool('link', 'list')
    .map(fieldsOf)
    .filter(({ prog_id }) => ids.has(prog_id))
  const maps = bpftool('map', 'list')
    .map(fieldsOf)
    .filter(({ name }) =>
      ['ring', 'cpu_state', 'processes', 'images', 'workloads', 'join', 'scratch'].includes(String(name)),
    )
  return [
    ...programs.map(({ name }) => `program ${String(name)}`),
    ...links.map(({ id }) => `link ${String(id)}`),
    ...maps.map(({ name }) => `map ${String(name)}`),
    ...readdirSync('/sys/fs/bpf')
      .filter((name) => name.includes('ktrail') && !name.startsWith('ktrail-test'))
      .map((name) => `pin ${name}`),
    ...(/\/run\/ktrail\/lock$/m.test(readFileSync('/proc/net/unix', 'utf8')) ? ['the lock'] : []),
  ]
}

/** Waits until nothing is left: the kernel frees programs after a grace period. Fails with the leftovers. */
export async function nothingLeft(): Promise<void> {
  let left: string[] = []
  const more = (): string => `\nstill there: ${left.join(', ')}`
  await until('the kernel to hold nothing of the agent', () => (left = leftovers()).length === 0, { ms: 10_000, more })
}

/** Sequence numbers taken so far, over all CPUs, read from the map `cpu_state` without the agent. */
export function numbersTaken(): number {
  const [entry] = bpftool('map', 'dump', 'name', 'cpu_state').map(fieldsOf)
  const values = Array.isArray(entry?.['values']) ? entry['values'].map(fieldsOf) : []
  assert.ok(values.length > 0, 'no map cpu_state: does the agent run?')
  return values.reduce((sum, { value }) => {
    const bytes = Buffer.from(Array.isArray(value) ? value.map(Number) : [])
    return sum + Number(bytes.readBigUInt64LE(0))
  }, 0)
}

/** A config file; `parts` are top-level keys. A string is written as it is. */
export function configFile(folder: string, parts: Readonly<Record<string, unknown>> | string): string {
  const file = join(folder, 'config.yaml')
  writeFileSync(file, typeof parts === 'string' ? parts : JSON.stringify(parts))
  return file
}

/** Runs a command to its end, for starts that must fail. SIGKILL and code null after `ms`. */
export function run(
  command: readonly string[],
  ms = 120_000,
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const [file = '', ...args] = command
  return new Promise((resolve) => {
    const child = execFile(file, args, { timeout: ms, killSignal: 'SIGKILL' }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
}

/** CPU time of a process so far, user and system, in ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** A line of numbers in the test's output. */
export function report(what: string, numbers: Readonly<Record<string, number | string>>): void {
  const shown = Object.entries(numbers).map(
    ([key, value]) => `${key} ${typeof value === 'number' ? Math.round(value).toLocaleString('en') : value}`,
  )
  console.log(`# ${what}: ${shown.join(', ')}`)
}

/** Waits until the ring is empty and the accounting was checked since (every two seconds): imbalance is then current. */
export async function audited(agent: TestAgent): Promise<void> {
  let since = 0
  await agent.until('an empty ring', async () => (await agent.metrics()).sum('ktrail_ring_waiting_bytes') === 0)
  // Two checks of the agent are needed: the second compares the numbers of the first.
  await agent.until('two checks of the accounting', async () => {
    since ||= performance.now()
    await agent.get('/livez')
    return performance.now() - since > 4_500
  })
}

/** Fails unless all accounting of the agent balances. */
export async function balanced(agent: TestAgent): Promise<void> {
  const metrics = await agent.metrics()
  assert.equal(metrics.sum('ktrail_accounting_imbalance_events', { exporter: 'ring' }), 0, 'ring')
  assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0, metrics.text)
}
