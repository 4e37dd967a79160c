import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'

/** Compares with test/golden/NAME, or writes that file when UPDATE_GOLDEN=1; the diff is then reviewed as code. */
export function matchesGolden(name: string, got: string): void {
  const file = new URL(`../../../golden/${name}`, import.meta.url)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, got)
  assert.deepEqual(got.split('\n'), readFileSync(file, 'utf8').split('\n'))
}
