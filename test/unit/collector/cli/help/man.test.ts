/** The man page is the table's, and roff finds nothing wrong with it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { manPage } from '../../../../support/docs/man.ts'
import { allSpecs } from '../../../../../collector/cli/table/spec.ts'
import type { CommandSpec, GroupSpec } from '../../../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../../../collector/cli/table/table.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { missingTool } from './support/tools.ts'

const PAGE = path.join(import.meta.dirname, '../../../../../docs/reference/ktrail.1')
const shown = (file: string): { stdout: string; stderr: string } =>
  spawnSync('man', ['--warnings', '-l', file], {
    encoding: 'utf8',
    env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' },
  })

test('man: docs/reference/ktrail.1 is up to date', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), manPage(KTRAIL), 'run node test/support/docs/write-man.ts')
})

test('man: the page has no warning of roff and shows every command', { skip: missingTool('man') }, () => {
  const { stdout, stderr } = shown(PAGE)
  assert.equal(stderr, '')
  for (const [command] of allSpecs(KTRAIL))
    if (!command.includes(' config')) assert.ok(stdout.includes(command), command)
})

test('man: any text is shown as it is', { skip: missingTool('man') }, () => {
  using folder = new Folder()
  const text = `.so /etc/passwd \\fB "quoted" 'x' a-b \\n[.x]`
  const command: CommandSpec = { summary: 's', text: [text, `'quoted`], load: () => assert.fail('not loaded') }
  const root: GroupSpec = { summary: 's', commands: { one: command }, exits: '0 done' }
  const file = folder.at('x.1')
  writeFileSync(file, manPage(root))
  const { stdout, stderr } = shown(file)
  assert.equal(stderr, '')
  assert.ok(stdout.includes(text) && stdout.includes(`'quoted`), stdout)
})
