/** Files of any kind to which a config refers: read whole, or refused at once with a message. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { readTextFile } from '../../../../config/yaml/files.ts'
import { readNamedFile, readNamedFileSync } from '../../../../config/base/named-file.ts'
import { whyUnreadable } from '../../../../config/base/unreadable.ts'
import { until } from '../../../e2e/support/wait.ts'
import { Folder } from '../../exporters/support/folder.ts'

const MAX = 100_000

async function read(path: string): Promise<Array<Buffer | string>> {
  const sync = (): Buffer => readNamedFileSync(path, MAX)
  return [await readNamedFile(path, MAX).catch(whyUnreadable), await Promise.resolve().then(sync).catch(whyUnreadable)]
}

test('named file: a regular file is read whole, up to its bound, through links and from /proc', async () => {
  using folder = new Folder()
  const full = Buffer.alloc(MAX, 'ab')
  for (const [name, content] of [
    ['full', full],
    ['empty', Buffer.alloc(0)],
  ] as const) {
    writeFileSync(folder.at(name), content)
    symlinkSync(name, folder.at(`to-${name}`))
    for (const path of [name, `to-${name}`]) assert.deepEqual(await read(folder.at(path)), [content, content])
  }
  const [, status] = await read('/proc/self/status')
  assert.match(String(status), /^Name:/)
})

const OTHERS: ReadonlyArray<readonly [name: string, make: (path: string) => unknown, message: RegExp]> = [
  ['a FIFO', (path) => execFileSync('mkfifo', [path]), /^it is a FIFO; expected a regular file$/],
  ['a folder', (path) => mkdirSync(path), /^it is a folder; expected a regular file$/],
  ['a device', (path) => symlinkSync('/dev/zero', path), /^it is a device; expected a regular file$/],
  ['one byte too many', (path) => writeFileSync(path, Buffer.alloc(MAX + 1)), /^it is larger than 100000 bytes$/],
  ['nothing', () => undefined, /^no such file$/],
]
for (const [name, make, message] of OTHERS) {
  test(`named file: ${name} is refused at once with a message`, { timeout: 20_000 }, async () => {
    using folder = new Folder()
    make(folder.at('x'))
    for (const refusal of await read(folder.at('x'))) assert.match(String(refusal), message)
  })
}

test('named file: a refused file is not opened, because a device may act on that', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  const file = folder.at('x')
  execFileSync('mkfifo', [file])
  // The open call ends when another process opens the FIFO.
  const writer = spawn('sh', ['-c', 'echo unread >"$0"', file], { stdio: 'ignore' })
  await until('a writer that waits', () => readFileSync(`/proc/${writer.pid}/wchan`, 'utf8') === 'wait_for_partner')
  await read(file)
  assert.equal(execFileSync('cat', [file], { encoding: 'utf8', timeout: 10_000 }), 'unread\n')
})

test('named file: a socket is refused', async () => {
  using folder = new Folder()
  await using server = createServer()
  await once(server.listen(folder.at('x')), 'listening')
  for (const refusal of await read(folder.at('x'))) assert.match(String(refusal), /^it is a socket/)
})

test('named file: a FIFO in place of a policy or config is one problem', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  const file = folder.at('p.yaml')
  execFileSync('mkfifo', [file])
  const message = 'cannot read the file: it is a FIFO; expected a regular file'
  assert.deepEqual(await readTextFile(file), { problems: [{ file, line: 0, col: 0, message }] })
})
