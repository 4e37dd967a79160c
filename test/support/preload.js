/**
 * Loaded by the test files that run.sh starts (`node --import`).
 *
 * It caches the output of V8 and the type stripper: hundreds of processes load the same modules. Not by NODE_COMPILE_CACHE, which the agents
 * that tests start would inherit: ./ktrail chooses a folder of its own.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../../build/test-cache', import.meta.url)))

/** Clock ticks a second of /proc/PID/stat: USER_HZ, on every Linux that Node supports. */
const TICKS = 100

// The runner loads this too, and is no test file.
const { KTRAIL_TEST_CPU: into, NODE_TEST_CONTEXT: context } = process.env
if (into !== undefined && context !== undefined) {
  process.once('exit', () => {
    // proc(5): utime, stime, cutime and cstime are fields 14 to 17. The name, field 2, may contain spaces.
    const stat = readFileSync('/proc/self/stat', 'utf8')
    const ticks = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15)
    const ms = ticks.reduce((sum, each) => sum + (Number(each) * 1000) / TICKS, 0)
    appendFileSync(into, `${JSON.stringify({ kind: 'cpu', file: process.argv[1], ms })}\n`)
  })
}
