/** Policies of `ktrail migrate auditd`: the permissions of auditd's rules on a real kernel. */
import assert from 'node:assert/strict'
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import test, { after, before, describe } from 'node:test'
import { cannotRun, ktrail } from '../support/agent.ts'
import { SKIP_LONG } from '../../support/long.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { sharedAgent } from './shared.ts'

const FOLDER = '/tmp/ktrail-migrated'
const WRITES = `${FOLDER}/writes`
const CHANGES = `${FOLDER}/changes`
const OUTSIDE = `${FOLDER}-link`

/** Attaches 25 functions: as `ktrail watch` does, whose test always runs. */
const skip = cannotRun() || SKIP_LONG || (kernelAtLeast(5, 17) ? false : 'files by identity need Linux 5.17')

describe('ktrail migrate auditd', { skip }, () => {
  const agent = sharedAgent()
  before(async () => {
    mkdirSync(FOLDER, { recursive: true })
    for (const file of [WRITES, CHANGES]) writeFileSync(file, 'x')
    linkSync(WRITES, OUTSIDE)
    const rules = `${FOLDER}/audit.rules`
    writeFileSync(rules, `-w ${WRITES} -p w -k contents\n-a always,exit -F path=${CHANGES} -F perm=a -k attributes\n`)
    const { code, stdout, stderr } = await ktrail(['migrate', 'auditd', rules])
    assert.deepEqual([code, stderr], [0, '2 of 2 lines converted to 2 policies\n'])
    const [contents = '', attributes = ''] = stdout.split(/^---\n/m)
    await agent().apply('contents', contents)
    await agent().apply('attributes', attributes)
  })
  after(() => {
    for (const each of [FOLDER, OUTSIDE]) rmSync(each, { recursive: true, force: true })
  })

  test('w reports writes and no change of attributes, a the reverse, and none reads; a hard link is the same file', async () => {
    const lines = await agent().during(() => {
      for (const file of [OUTSIDE, CHANGES]) {
        readFileSync(file)
        writeFileSync(file, 'y', { flag: 'a' })
        chmodSync(file, 0o600)
      }
    })
    const seen = lines.flatMap(({ process_kprobe: hit }) =>
      hit === undefined ? [] : [`${hit.policy_name} ${hit.function_name}`],
    )
    assert.deepEqual(
      new Set(seen),
      new Set(['contents security_file_permission', 'attributes chmod_common']),
      seen.join('\n'),
    )
  })
})
