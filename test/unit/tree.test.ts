/** Rules for the tree; rules for single files are in .oxlintrc.json. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const MOST_FILES = 14

/** Files that git tracks, and new ones that it does not ignore, relative to the root. */
function files(): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT })
  return [...new Set(list.toString().split('\0'))].filter((file) => file !== '' && existsSync(join(ROOT, file)))
}

const skip = existsSync(join(ROOT, '.git')) ? false : 'no checkout of git'

test(`tree: a folder has at most ${MOST_FILES} files`, { skip }, () => {
  const counts = new Map<string, number>()
  for (const file of files()) {
    const folder = dirname(file)
    // Tools expect their files in the root. A policy of the library is found by its name.
    if (folder !== '.' && folder !== 'config/policies/library' && !folder.startsWith('test/fixtures/'))
      counts.set(folder, (counts.get(folder) ?? 0) + 1)
  }
  const large = [...counts].filter(([, count]) => count > MOST_FILES)
  assert.deepEqual(large, [])
})
