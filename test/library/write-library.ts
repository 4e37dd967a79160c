/** `node test/library/write-library.ts KERNEL OLD` writes results.json and docs/reference/library.md from what the tests left in build/library/. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { PAGE, RESULTS, pageOf } from './page.ts'
import type { Results } from './page.ts'

const [attacks, old, hour, ways, oldWays] = ['attacks', 'old-attacks', 'hour', 'ways', 'old-ways'].map((name) => {
  const file = new URL(`../../build/library/${name}.json`, import.meta.url)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
})
const [, , kernel = '', oldKernel = ''] = process.argv
const results: Results = {
  kernel,
  attacks,
  ...(ways !== undefined && { ways }),
  ...(old !== undefined && {
    old: { kernel: oldKernel, attacks: old, ...(oldWays !== undefined && { ways: oldWays }) },
  }),
  ...(hour !== undefined && { hour }),
}
writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`)
writeFileSync(PAGE, pageOf(results))
