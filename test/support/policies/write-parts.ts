/** `node test/support/policies/write-parts.ts` writes the parts of each policy of the library from test/support/policies/parts/. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { expand } from './parts.ts'

const FOLDER = new URL('../../../config/policies/library/', import.meta.url)

for (const file of readdirSync(FOLDER)) {
  const at = new URL(file, FOLDER)
  const text = readFileSync(at, 'utf8')
  const expanded = expand(text)
  if (expanded !== text) writeFileSync(at, expanded)
}
