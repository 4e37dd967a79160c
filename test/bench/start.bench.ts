/**
 * How long does user space take from the start of the process to ready, on this machine's clock? The kernel's part
 * (loading BPF objects) is measured in a guest: guest/agent.bench.ts. With and without V8's compile cache.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { QUICK, printResult, rounds, show } from './support/result.ts'
import type { Rounds } from './support/result.ts'

const RUNS = QUICK ? 3 : 5
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHILD = fileURLToPath(new URL('support/start-child.ts', import.meta.url))
const CONFIG = fileURLToPath(new URL('support/bench.yaml', import.meta.url))
const FLAGS = ['--disable-warning=ExperimentalWarning']

interface Started {
  readonly steps: Readonly<Record<string, number>>
  readonly rssMB: number
}

const cache = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
process.once('exit', () => rmSync(cache, { recursive: true, force: true }))
const environment = (cached: boolean): NodeJS.ProcessEnv =>
  cached ? { ...process.env, NODE_COMPILE_CACHE: cache } : { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' }

function start(cached: boolean): Started & { readonly wallMs: number } {
  const startMs = performance.now()
  const output = execFileSync(process.execPath, [...FLAGS, CHILD, CONFIG], {
    cwd: ROOT,
    env: environment(cached),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { ...(JSON.parse(output) as Started), wallMs: performance.now() - startMs }
}

/** The launcher and everything that the modules do when they are loaded. */
function launcher(cached: boolean): number {
  const startMs = performance.now()
  execFileSync('./ktrail', ['version'], { cwd: ROOT, env: environment(cached), stdio: 'ignore' })
  return performance.now() - startMs
}

// The first fills the cache.
for (const cached of [true, false]) {
  start(cached)
  launcher(cached)
}
const runs = { with: [] as ReturnType<typeof start>[], without: [] as ReturnType<typeof start>[] }
const versions = { with: [] as number[], without: [] as number[] }
for (let i = 0; i < RUNS; i++) {
  runs.with.push(start(true))
  runs.without.push(start(false))
  versions.with.push(launcher(true))
  versions.without.push(launcher(false))
}

const names = Object.keys(runs.with[0]?.steps ?? {})
const last = names.at(-1) ?? ''
const at = (of: 'with' | 'without', step: string): Rounds =>
  rounds(runs[of].map(({ steps }) => steps[step] ?? Number.NaN))
const rss = (of: 'with' | 'without'): Rounds => rounds(runs[of].map(({ rssMB }) => rssMB))
const version = (of: 'with' | 'without'): Rounds => rounds(versions[of])

printResult(
  'start',
  [
    { name: 'user space from start to ready', ...at('with', last), unit: 'ms', atMost: 1500 },
    { name: 'user space from start to ready, no compile cache', ...at('without', last), unit: 'ms', atMost: 1500 },
    { name: 'RSS when ready', ...rss('with'), unit: 'MB' },
    { name: 'RSS when ready, no compile cache', ...rss('without'), unit: 'MB' },
    { name: './ktrail version', ...version('with'), unit: 'ms' },
    { name: './ktrail version, no compile cache', ...version('without'), unit: 'ms' },
  ],
  [
    {
      title: 'Start of user space, ms since the process began',
      columns: ['', ...names, 'RSS then, MB', './ktrail version'],
      rows: (['with', 'without'] as const).map((of) => [
        `${of} compile cache`,
        ...names.map((name) => show(at(of, name).value)),
        show(rss(of).value),
        show(version(of).value),
      ]),
      notes: ['`ktrail run` without loading and attaching BPF programs. Medians of alternating runs.'],
    },
  ],
)
