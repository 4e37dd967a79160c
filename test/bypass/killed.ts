/**
 * Accesses before, while and after a tool's process has ended by SIGKILL, in a guest: `node test/bypass/killed.ts OUTPUT TOOLS [NAME...]`, with
 * the arguments of run.ts.
 */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { mountFileSystem } from '../e2e/files/file-system.ts'
import { until } from '../e2e/support/wait.ts'
import { isBelow } from './judge.ts'
import { IN_GAP } from './page-killed.ts'
import type { KilledResult } from './page-killed.ts'
import { TOOLS, mountTools } from './tools/all.ts'
import type { Place, Running } from './tools/tool.ts'

const FOLDER = 'killed'
const PHASES = ['before', 'gap', 'after'] as const
type Phase = (typeof PHASES)[number]
/** Their processes are those of the row before them. */
const SAME = new Set(['ktrail by name', 'auditd -S'])

const [, , to = '', tools = '', ...wanted] = process.argv

const names = (phase: Phase, kind: string): string[] =>
  Array.from({ length: IN_GAP }, (_, i) => `${phase}-${kind}-${i}`)

function prepared(top: string): Place {
  const [watched, outside] = ['watched', 'outside'].map((name) => mkdtempSync(join(top, name))) as [string, string]
  mkdirSync(join(watched, FOLDER))
  for (const name of PHASES.flatMap((phase) => names(phase, 'read'))) writeFileSync(join(watched, FOLDER, name), 'x')
  return { watched, outside, fewHooks: true }
}

async function resultOf({ watched }: Place, tool: Running): Promise<KilledResult | undefined> {
  if (tool.killed === undefined) return undefined
  const folder = join(watched, FOLDER)
  const access = (phase: Phase): void => {
    for (const name of names(phase, 'read')) readFileSync(join(folder, name))
    for (const name of names(phase, 'made')) writeFileSync(join(folder, name), 'x')
  }
  const reported = async (): Promise<ReadonlySet<string>> => {
    const paths = (await tool.reports()).flatMap((report) => report.paths)
    return new Set(paths.filter((path) => isBelow(path, folder)).map((path) => basename(path)))
  }
  const isReported = async (phase: Phase): Promise<boolean> => (await reported()).has(names(phase, 'made').at(-1) ?? '')

  await tool.begins?.({ name: FOLDER, pid: 0, folder })
  tool.baseline?.()
  access('before')
  if (tool.baseline === undefined) await until('reports before the kill', () => isReported('before'))
  const killed = await tool.killed(() => access('gap'))
  access('after')
  if (killed.again !== undefined) await until('reports after the kill', () => isReported('after'))
  const all = await reported()
  const seen = (phase: Phase, kind: string): number => names(phase, kind).filter((name) => all.has(name)).length
  const says = killed.says()
  return {
    ...killed,
    says,
    reads: seen('gap', 'read'),
    made: seen('gap', 'made'),
    goesOn: seen('after', 'made') === IN_GAP,
  }
}

mountTools(tools)
const top = mountFileSystem('xfs')
const killed: Record<string, KilledResult> = {}
for (const { name, start } of TOOLS.filter((tool) =>
  wanted.length === 0 ? !SAME.has(tool.name) : wanted.includes(tool.name),
)) {
  const place = prepared(top)
  await using running = await start(place)
  const result = await resultOf(place, running)
  if (result !== undefined) killed[name] = result
  console.log(name, JSON.stringify(result))
  writeFileSync(to, `${JSON.stringify({ killed }, undefined, 2)}\n`)
}
