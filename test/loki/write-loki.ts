/** `node test/loki/write-loki.ts` writes results.json and docs/reference/exporters/loki-queries.md from what the tests left in build/loki/. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { PAGE, RESULTS, pageOf } from './page.ts'
import type { Results } from './page.ts'

const FOLDER = new URL('../../build/loki/', import.meta.url)
const all = readdirSync(FOLDER).map((file): Results => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')))
writeFileSync(RESULTS, `${JSON.stringify(all, undefined, 2)}\n`)
writeFileSync(PAGE, pageOf(all))
