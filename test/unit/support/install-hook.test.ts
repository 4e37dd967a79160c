/** The chart's init container: a node that has no ktrail gets a copy, and a hook that runs it. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'

const ROOT = path.join(import.meta.dirname, '../../..')
const scratch = mkdtempSync(path.join(tmpdir(), 'ktrail-hook-'))
after(() => rmSync(scratch, { recursive: true }))

/** An image's /usr/lib/ktrail whose program prints a text and its arguments. */
function image(text: string): string {
  const home = mkdtempSync(path.join(scratch, 'image-'))
  for (const folder of ['dist/collector', 'node/bin', 'node_modules/.ktrail'])
    mkdirSync(path.join(home, folder), { recursive: true })
  writeFileSync(
    path.join(home, 'dist/collector/main.js'),
    `console.log(${JSON.stringify(text)}, ...process.argv.slice(2))\n`,
  )
  writeFileSync(path.join(home, 'package.json'), '{}')
  symlinkSync(process.execPath, path.join(home, 'node/bin/node'))
  // The test's machine has no file at this path.
  writeFileSync(path.join(home, 'node_modules/.ktrail/node'), '/none\n')
  copyFileSync(path.join(ROOT, 'ktrail'), path.join(home, 'ktrail'))
  copyFileSync(path.join(ROOT, 'deploy/oci-hook/install'), path.join(home, 'install-oci-hook'))
  copyFileSync(path.join(ROOT, 'deploy/oci-hook/ktrail.json'), path.join(home, 'oci-hook.json'))
  return path.join(home, 'install-oci-hook')
}

/** Output of the hook when a runtime runs it. */
function ranBy(hooks: string): string {
  const { hook } = JSON.parse(readFileSync(path.join(hooks, 'ktrail.json'), 'utf8'))
  assert.equal(hook.path, '/bin/sh')
  const [, flag, text] = hook.args
  // No agent runs.
  return execFileSync(hook.path, [flag, text.replace('/run/ktrail/ktrail.sock', '/')], {
    env: { PATH: '/usr/bin:/bin' },
    encoding: 'utf8',
  })
}

test('install-oci-hook: a copy and a hook that runs it, replaced by the next image', () => {
  const [folder, hooks] = [path.join(scratch, 'ktrail'), path.join(scratch, 'hooks.d')]
  for (const each of [folder, hooks]) mkdirSync(each)
  // A copy that was cut off.
  mkdirSync(path.join(folder, 'copy.cut'))
  for (const text of ['one', 'two']) {
    execFileSync(image(text), [folder, folder, hooks])
    assert.equal(ranBy(hooks), `${text} oci-hook\n`)
    assert.equal(readdirSync(folder).length, 2, 'the copy, and the link to it')
    assert.deepEqual(readdirSync(hooks), ['ktrail.json'])
  }
})

test('install-oci-hook: reports the failure, and leaves nothing behind', () => {
  const install = image('x')
  const [folder, hooks] = [mkdtempSync(path.join(scratch, 'f-')), mkdtempSync(path.join(scratch, 'h-'))]
  const rows = [
    { args: [folder], want: /expected FOLDER, PATH and HOOKS$/m },
    {
      args: [folder, '/opt/$(id)', hooks],
      want: /expected a path of letters, digits and \/\._- from \/, got "\/opt\/\$\(id\)"/,
    },
    { args: [folder, '/opt/ktrail', `${hooks}/none`], want: /expected the folders .*: are they mounted\?/ },
  ]
  for (const { args, want } of rows) {
    const { status, stderr } = spawnSync(install, args, { encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, want)
    assert.deepEqual([readdirSync(folder), readdirSync(hooks)], [[], []])
  }
})
