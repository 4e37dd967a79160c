/** SIGUSR1 and variables of the environment neither end a command nor open Node's debugger, through which any local user would run code as root. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../e2e/support/wait.ts'
import { listeningPorts, Sigusr1 } from '../support/sigusr1.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

const LAUNCHER = join(import.meta.dirname, '../../ktrail')
/** Signals after the command has connected. */
const MORE = 10

for (const words of [['events'], ['events', '--reconnect'], ['tap', 'archive'], ['top']]) {
  test(`ktrail ${words.join(' ')}: SIGUSR1 from the first line on, and NODE_OPTIONS with --inspect`, async () => {
    using folder = new Folder()
    const address = `unix://${folder.at('agent.sock')}`
    const connections: Socket[] = []
    // The server never answers, so that the command continues.
    const agent = createServer((socket) => connections.push(socket.on('error', () => {}))).listen(
      folder.at('agent.sock'),
    )
    const child = spawn(LAUNCHER, [...words, words[0] === 'top' ? '--http' : '--server', address], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '--inspect=127.0.0.1:0 --import=data:text/javascript,process.exit(3)' },
    })
    let stderr = ''
    child.stderr.on('data', (bytes) => (stderr += String(bytes)))
    const ended = once(child, 'exit')
    using signals = new Sigusr1(child.pid ?? 0)
    const more = (): string => `; ${signals.sent} signals; exit ${child.exitCode}, ${child.signalCode}; ${stderr}`
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
    try {
      await until('the connection', () => connections.length > 0 || isOver(), { more })
      const sent = signals.sent
      await until('more signals', () => signals.sent >= sent + MORE || isOver(), { more })
      assert.ok(!isOver() && sent > 1, more())
      assert.deepEqual(listeningPorts(child.pid ?? 0), [])
      assert.doesNotMatch(stderr, /Debugger/)
    } finally {
      child.kill('SIGKILL')
      await ended
      agent.close()
      for (const socket of connections) socket.destroy()
    }
  })
}
