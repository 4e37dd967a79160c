/** The addon's reading of a folder. The search for hard links that uses it: test/unit/collector/kernel/files/linked.test.ts. */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { NativeError, openPathWorker } from '../../../native/index.ts'

const worker = openPathWorker()
const top = mkdtempSync(join(tmpdir(), 'ktrail-folder-'))
after(() => rmSync(top, { recursive: true }))

test('folder: folders and files with several links, and how many entries there are', async () => {
  mkdirSync(join(top, 'below'))
  for (const name of ['one', 'two']) writeFileSync(join(top, name), 'x')
  linkSync(join(top, 'two'), join(top, 'below', 'two'))
  symlinkSync('below', join(top, 'symlink'))
  const { files, folders, linked } = await worker.readFolder(Buffer.from(top))
  assert.deepEqual([files, folders.toString(), linked.toString()], [4, 'below\0', 'two\0'])
})

test('folder: what is mounted in it is of another file system', async () => {
  const { folders } = await worker.readFolder(Buffer.from('/'))
  assert.ok(!folders.toString().split('\0').includes('proc'))
})

for (const [what, path, want] of [
  ['a folder that is not there', 'none', /cannot read folder ".*\/none": No such file or directory \(ENOENT\)/],
  ['a file', 'one', /Not a directory \(ENOTDIR\)/],
  ['a symbolic link', 'symlink', /Not a directory \(ENOTDIR\)/],
] as const) {
  test(`folder: ${what} is refused`, async () => {
    await assert.rejects(worker.readFolder(Buffer.from(join(top, path))), want)
  })
}

test('folder: a path is bytes', async () => {
  await assert.rejects(
    () => Reflect.apply(worker.readFolder, worker, ['/']),
    (error) => error instanceof NativeError && error.code === 'BAD_ARGUMENT',
  )
})
