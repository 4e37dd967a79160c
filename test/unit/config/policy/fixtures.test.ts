/** Golden problems: each bad fixture has a `.problems.txt` file. UPDATE_GOLDEN=1 rewrites them; review as code. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Problem } from '../../../../config/yaml/problems.ts'
import { formatProblem } from '../../../../config/yaml/problems.ts'

const FIXTURES = join(import.meta.dirname, '../../../fixtures')
const ENV = { NODE_NAME: 'node-1' }

type Check = (text: string, file: string) => readonly Problem[]

const checkPolicy: Check = (text, file) => {
  const result = parsePolicy(text, file)
  return 'problems' in result ? result.problems : []
}

const checkConfig: Check = (text, file) => {
  const result = loadConfig(text, file, ENV)
  return 'problems' in result ? result.problems : []
}

for (const [folder, check] of [
  ['policies', checkPolicy],
  ['configs', checkConfig],
] as const) {
  describe(`fixtures of ${folder}`, () => {
    for (const file of yamlFiles(join(FIXTURES, folder, 'bad'))) {
      it(`bad/${file} has exactly its golden problems`, () => {
        const path = join(FIXTURES, folder, 'bad', file)
        const got = `${check(readFileSync(path, 'utf8'), file).map(formatProblem).join('\n')}\n`
        const golden = path.replace(/\.yaml$/, '.problems.txt')
        if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, got)
        assert.notEqual(got, '\n')
        assert.equal(got, readFileSync(golden, 'utf8'))
      })
    }
    for (const file of yamlFiles(join(FIXTURES, folder, 'good'))) {
      it(`good/${file} has no problem`, () => {
        assert.deepEqual(check(readFileSync(join(FIXTURES, folder, 'good', file), 'utf8'), file), [])
      })
    }
  })
}

function yamlFiles(folder: string): string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))
  assert.notEqual(files.length, 0, folder)
  return files
}
