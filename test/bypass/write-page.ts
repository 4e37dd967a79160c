/**
 * `node test/bypass/write-page.ts FILE...` writes results.json and docs/explanation/who-sees-what.md from the results of run.ts: one file, or one for
 * some tools each. Fails if ktrail by identity misses a way.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { NOT_RUN, PAGE, RESULTS, missedBy, pageOf } from './page.ts'
import type { Results } from './page.ts'

const [first, ...more] = process.argv.slice(2).map((file): Results => JSON.parse(readFileSync(file, 'utf8')))
if (first === undefined) throw new Error('expected a file with results')
const results: Results = { ...first, tools: Object.assign({}, first.tools, ...more.map(({ tools }) => tools)) }
writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`)
writeFileSync(PAGE, pageOf(results))
console.log(NOT_RUN)
const missed = missedBy(results)
if (missed.length > 0)
  throw new Error(`ktrail by identity: expected each way reported, and no other; got wrong: ${missed.join(', ')}`)
