/** `node test/library/write-library.ts KERNEL OLD` writes results.json and docs/reference/library.md from what the tests left in build/library/. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { PAGE, RESULTS, pageOf } from './page.ts'
import type { Results } from './page.ts'

const [attacks, old, hour] = ['attacks', 'old-attacks', 'hour'].map((name) => {
  const file = new URL(`../../build/library/${name}.json`, import.meta.url)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
})
const [, , kernel = '', oldKernel = ''] = process.argv
const results: Results = {
  kernel,
  attacks,
  ...(old !== undefined && { old: { kernel: oldKernel, attacks: old } }),
  ...(hour !== undefined && { hour }),
}
writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`)
writeFileSync(PAGE, pageOf(results))
