/** `ktrail check` of folders. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { Folder } from '../../../exporters/support/folder.ts'

test('check: folders that are missing, empty, or hold too many policies are mistakes with a reason', async () => {
  using folder = new Folder()
  for (const name of ['empty', 'full']) mkdirSync(folder.at(name))
  for (let i = 0; i <= 1_000; i++) writeFileSync(folder.at(`full/${i}.yaml`), '')
  let out = ''
  const code = await ktrail(['check', ...['none', 'empty', 'full'].map((name) => folder.at(name))], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: () => undefined,
    nowMs: () => 0,
  })
  const want = [
    'none: cannot read the file: no such file',
    'empty: the folder has no *.yaml or *.yml file; subfolders are not checked',
    'full: cannot read: it has more than 1000 policies: split them into several folders',
  ]
  assert.deepEqual([code, out], [78, want.map((line) => `${folder.at(line)}\n`).join('')])
})
