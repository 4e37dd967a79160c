/** Listening on a Unix socket; on a host and port: telemetry/http.test.ts. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import type { Server } from 'node:net'
import { test } from 'node:test'
import { CollectorError } from '../../../../../collector/errors.ts'
import { listenAt } from '../../../../../collector/host/sockets/listen.ts'
import { serve } from '../../../../../collector/telemetry/http.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const modeOf = (path: string): number => statSync(path).mode & 0o777

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

test('listen: a Unix socket is created with its folder, for its owner only, and removed at the end', async () => {
  using folder = new Folder()
  const path = folder.at('run/ktrail/http.sock')
  const mask = process.umask(0)
  const server = createServer()
  assert.equal(await listenAt(server, { path }, 'server.http'), `unix://${path}`)
  assert.equal(process.umask(mask), 0)
  assert.equal(modeOf(path), 0o600)
  assert.equal(modeOf(folder.at('run/ktrail')), 0o755)
  await closed(server)
  assert.ok(!existsSync(path))
})

test('listen: pages are served on a Unix socket', async () => {
  using folder = new Folder()
  const path = folder.at('http.sock')
  await using server = await serve({ path }, { '/livez': () => ({ status: 200, body: 'ok\n' }) }, assert.fail)
  assert.equal(server.address, `unix://${path}`)
  const socket = connect(path)
  socket.end('GET /livez HTTP/1.1\r\n\r\n')
  const [answer] = await once(socket, 'data')
  assert.match(String(answer), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok\n$/s)
})

test('listen: the socket of a killed program is replaced', async () => {
  using folder = new Folder()
  const path = folder.at('http.sock')
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('listens'))`
  const owner = spawn(process.execPath, ['--eval', script])
  await once(owner.stdout, 'data')
  const server = createServer()
  await assert.rejects(listenAt(server, { path }, 'server.http'), (error) => {
    assert.ok(error instanceof CollectorError && error.code === 'LISTEN_FAILED')
    const expected = `cannot listen on unix://${path}: the path is used by a program that listens; set server.http to another path`
    assert.equal(error.message, expected)
    return true
  })
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  assert.ok(existsSync(path))
  await listenAt(server, { path }, 'server.http')
  assert.equal(modeOf(path), 0o600)
  await closed(server)
})

test('listen: a file that is not a socket is never replaced', async () => {
  using folder = new Folder()
  const file = folder.at('file')
  writeFileSync(file, 'mine')
  symlinkSync(folder.at('nowhere'), folder.at('link'))
  for (const path of [file, folder.at('link')]) {
    await assert.rejects(
      listenAt(createServer(), { path }, 'server.http'),
      /used by a file that is not a socket; set server\.http/,
    )
  }
  assert.equal(readFileSync(file, 'utf8'), 'mine')
  assert.ok(lstatSync(folder.at('link')).isSymbolicLink())
})

test('listen: a folder that cannot be created is reported with its path', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('file'), '')
  const path = folder.at('file/http.sock')
  await assert.rejects(
    listenAt(createServer(), { path }, 'server.http'),
    /^CollectorError: cannot listen on unix:.*file\/http\.sock: /,
  )
})
