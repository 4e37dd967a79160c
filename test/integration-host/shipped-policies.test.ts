/** Tetragon's own files, from the module proxy of Go, load or are refused as test/support/policies/shipped.ts has them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { parsePolicy } from '../../config/policy/parse.ts'
import { CORRECTED, INCOMPLETE, LOADING, TETRAGON, WAITING } from '../support/policies/shipped.ts'

/** 3.4 MB, once. */
function fetched(): { readonly folder: string } | { readonly missing: string } {
  const args = ['mod', 'download', '-json', `github.com/cilium/tetragon@${TETRAGON}`]
  const { error, stdout, stderr } = spawnSync('go', args, { cwd: tmpdir(), encoding: 'utf8', timeout: 120_000 })
  if (error !== undefined) return { missing: `no Tetragon ${TETRAGON}: ${error.message}` }
  const { Dir, Error: refused } = z
    .object({ Dir: z.string().optional(), Error: z.string().optional() })
    .parse(JSON.parse(stdout === '' ? '{}' : stdout))
  if (Dir === undefined) return { missing: `no Tetragon ${TETRAGON}: ${refused ?? stderr.trim()}` }
  return { folder: join(Dir, 'examples') }
}

const source = fetched()
const skip = 'missing' in source ? source.missing : false
if (skip !== false) console.log(`shipped policies: skipped: ${skip}`)

test(`shipped policies: the files of Tetragon ${TETRAGON} that load are the rows that load`, { skip }, () => {
  const folder = 'folder' in source ? source.folder : ''
  const texts = globSync('**/*.{yaml,yml}', { cwd: folder })
    .map((file) => [file.replace(/\.ya?ml$/, ''), readFileSync(join(folder, file), 'utf8')] as const)
    .filter(([, text]) => /^kind: *"?TracingPolicy/m.test(text))
  const outcomes = texts.map(([path, text]) => {
    const parsed = parsePolicy(text, `${path}.yaml`)
    return [path, 'problems' in parsed ? 'refused' : 'loads']
  })
  const loads = [...LOADING, ...CORRECTED.filter(({ shipped }) => shipped === 'corrected').map(({ row }) => row)]
  const refused = [
    ...WAITING,
    ...CORRECTED.filter(({ shipped }) => shipped === 'written').map(({ row }) => row),
    ...INCOMPLETE,
  ]
  const rows = [...loads.map(([path]) => [path, 'loads']), ...refused.map(([path]) => [path, 'refused'])]
  assert.equal(rows.length, 83)
  assert.deepEqual(Object.fromEntries(outcomes), Object.fromEntries(rows))
})

test(`shipped policies: a file of Tetragon ${TETRAGON} is refused for the line of its row`, { skip }, () => {
  const folder = 'folder' in source ? source.folder : ''
  const written = CORRECTED.filter(({ shipped }) => shipped === 'written')
  assert.ok(written.length >= 3)
  for (const { row, refusal } of written) {
    const parsed = parsePolicy(readFileSync(join(folder, `${row[0]}.yaml`), 'utf8'), row[0])
    const problems = 'problems' in parsed ? parsed.problems.map(({ message }) => message) : []
    assert.ok(problems[0]?.includes(refusal), `${row[0]}: ${problems.join(', ')}`)
  }
})
