/**
 * `node test/bypass/write-page.ts FILE...` writes results.json and docs/explanation/who-sees-what.md from the results of run.ts, killed.ts and
 * cost.ts: a file of each, or more with some tools each. Fails if ktrail by identity misses a way.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { PAGE, RESULTS, missedBy, notRun, pageOf } from './page.ts'
import type { Results } from './page.ts'

const all = process.argv.slice(2).map((file): Results => JSON.parse(readFileSync(file, 'utf8')))
const [first] = all
if (first === undefined) throw new Error('expected files with results')
const tools: Results['tools'] = Object.assign({}, ...all.map((each) => each.tools))
const killed: Results['killed'] = Object.assign({}, ...all.map((each) => each.killed))
const costs: Results['costs'] = Object.assign({}, ...all.map((each) => each.costs))
const results: Results = { ...first, tools, killed, costs }
writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`)
writeFileSync(PAGE, pageOf(results))
const { builds } = notRun(results)
if (builds.length > 0) console.log(`not run: ${builds.join(', ')}: bring a build with make bypass-matrix DIR=folder`)
const missed = missedBy(results)
if (missed.length > 0)
  throw new Error(`ktrail by identity: expected each way reported, and no other; got wrong: ${missed.join(', ')}`)
