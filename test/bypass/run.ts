/**
 * Runs each way to reach a file against each tool, one tool after the other, in a guest: `node test/bypass/run.ts OUTPUT TOOLS [NAME...]`.
 * TOOLS is the folder of tools.sh. NAME: only these tools. BROUGHT: a folder with builds of others.
 */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, writeFileSync, rmSync } from 'node:fs'
import { release } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { mountFileSystem } from '../e2e/files/file-system.ts'
import { WAYS } from '../e2e/files/ways.ts'
import { freshFolder } from '../e2e/support/agent.ts'
import { makeProgram } from '../support/programs.ts'
import { ALL, BURST, OTHERS, isBelow, isFalse, verdictOf } from './judge.ts'
import type { Done, Report, Verdict } from './judge.ts'
import type { Results, ToolResult } from './page.ts'
import { TOOLS, mountTools } from './tools/all.ts'
import { broughtIn } from './tools/brought.ts'
import type { Place, Running, Tool } from './tools/tool.ts'

const ON = 'xfs'
const BURSTS = ['burst-0', 'burst-1', 'burst-2']

const [, , to = '', tools = '', ...wanted] = process.argv

/** Folders for one tool, with the files of all ways. Disposed of, those of the bursts go: the file system has no room for those of all tools. */
function prepared(top: string): Place & Disposable {
  const [watched, outside] = ['watched', 'outside'].map((name) => mkdtempSync(join(top, name))) as [string, string]
  for (const folder of [watched, outside]) chmodSync(folder, 0o777)
  for (const { name } of ALL) {
    for (const folder of [watched, outside]) {
      mkdirSync(join(folder, name))
      chmodSync(join(folder, name), 0o777)
    }
    writeFileSync(join(watched, name, 'file'), 'x')
    chmodSync(join(watched, name, 'file'), 0o666)
  }
  const bursts = BURSTS.map((name) => join(watched, name))
  for (const folder of bursts) mkdirSync(folder)
  linkSync(join(watched, 'w_link_before', 'file'), join(outside, 'w_link_before', 'before'))
  return { watched, outside, [Symbol.dispose]: () => bursts.forEach((folder) => rmSync(folder, { recursive: true })) }
}

interface Access extends Done {
  /** Lets it do the access, and resolves when it has ended; to the process that did it, 0 if the kernel does not have the way. */
  go(): Promise<number>
}

const isReach = (way: string): boolean => WAYS.some(({ name }) => name === way)
const programs = freshFolder('bypass')
chmodSync(programs, 0o755)
for (const name of ['reach', 'access', 'many-files']) makeProgram(`e2e/${name}`, join(programs, name))

/** Starts a way; its process waits for the access. */
function begun(name: string, { watched, outside }: Place): Promise<Access> {
  const child = spawn(join(programs, isReach(name) ? 'reach' : 'access'), [watched, outside, name], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { REACH_WAITS: '1' },
  })
  // It may have ended by itself.
  child.stdin.on('error', () => {})
  let pid = 0
  const ended = new Promise<number>((resolve, reject) => {
    child.on('close', (code) => (code === 0 ? resolve(pid) : reject(new Error(`${name} ended with ${code}`))))
  })
  return new Promise((resolve, reject) => {
    ended.catch(reject)
    createInterface(child.stdout).on('line', (line) => {
      pid = Number(line.split(' ')[1])
      resolve({
        name,
        pid,
        folder: join(watched, name),
        go: () => {
          child.stdin.end('x')
          return ended
        },
      })
    })
  })
}

/** Does all ways; tools that compare states have their first state when all processes wait. */
async function doAll(place: Place, tool: Running): Promise<Done[]> {
  const done: Done[] = []
  const finish = async (access: Access): Promise<void> => {
    const pid = await access.go()
    if (pid !== 0) done.push({ name: access.name, folder: access.folder, pid })
  }
  const waiting: Access[] = []
  for (const { name } of ALL) {
    const access = await begun(name, place)
    await tool.begins?.(access)
    if (tool.baseline === undefined) await finish(access)
    else waiting.push(access)
  }
  tool.baseline?.()
  for (const access of waiting) await finish(access)
  return done
}

const versionOf = (name: string): string =>
  execFileSync('dpkg-query', [`--admindir=${tools}/var/lib/dpkg`, '-W', '-f=${Version}', name], { encoding: 'utf8' })

/** Returns how many of the files that a program makes at full speed are reported by name. */
async function burst(folder: string, tool: Running): Promise<number> {
  await tool.begins?.({ name: basename(folder), pid: 0, folder })
  execFileSync(join(programs, 'many-files'), [folder, String(BURST)])
  const reports = await tool.reports()
  const paths = reports.flatMap((report) => report.paths.filter((path) => isBelow(path, folder) && path !== folder))
  return new Set(paths).size
}

function resultOf(tool: Tool, done: readonly Done[], reports: readonly Report[]): Omit<ToolResult, 'bursts'> {
  const verdicts: Record<string, Verdict> = {}
  const isOther = (name: string): boolean => OTHERS.some((row) => row.name === name)
  for (const each of done.filter(({ name }) => !isOther(name))) verdicts[each.name] = verdictOf(each, reports)
  const wrong = done.filter((each) => isOther(each.name) && isFalse(each, reports)).map(({ name }) => name)
  const found = tool.package === undefined ? tool.version?.() : versionOf(tool.package)
  const version = found === undefined ? {} : { version: found }
  return { ...version, verdicts, wrong }
}

mountTools(tools)
const top = mountFileSystem(ON)
const results: Record<string, ToolResult> = {}
for (const tool of [...TOOLS, ...broughtIn(process.env['BROUGHT'] ?? '')].filter(
  ({ name }) => wanted.length === 0 || wanted.includes(name),
)) {
  const from = performance.now()
  using place = prepared(top)
  await using running = await tool.start(place)
  const done = await doAll(place, running)
  const reports = await running.reports()
  // A comparison of states cannot be too slow.
  const bursts: number[] = []
  if (running.baseline === undefined)
    for (const name of BURSTS) bursts.push(await burst(join(place.watched, name), running))
  const result: ToolResult = {
    ...resultOf(tool, done, reports),
    bursts,
  }
  results[tool.name] = result
  const whole: Results = { kernel: release(), on: ON, tools: results, killed: {}, costs: {} }
  writeFileSync(to, `${JSON.stringify(whole, undefined, 2)}\n`)
  const counts = Object.entries(Object.groupBy(Object.values(result.verdicts), (verdict) => verdict))
  const text = counts.map(([verdict, all = []]) => `${verdict} ${all.length}`).join(', ')
  const seconds = Math.round((performance.now() - from) / 1000)
  console.log(
    `${tool.name}: ${text}; false ${result.wrong.length}; bursts ${bursts.join(', ')}; ${reports.length} reports, ${seconds} s`,
  )
}
