/** On a real terminal, made by script(1): it takes about 64 KiB, and no more until the output of script is read. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'
import { idsOf, numbers } from '../../support/lines.ts'

const CHILD = fileURLToPath(new URL('../../support/on-terminal.ts', import.meta.url))
const skip = spawnSync('script', ['--version']).status === 0 ? false : 'there is no script(1) here (util-linux)'

/** The child on a terminal that is not read yet. Its reports so far are in the file. */
function onTerminal(report: string, how: 'end' | 'wait'): ChildProcess {
  const command = `exec "${process.execPath}" "${CHILD}" "${report}" ${how}`
  const env = { ...process.env, NODE_OPTIONS: '--disable-warning=ExperimentalWarning', SHELL: '/bin/sh' }
  return spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'], env })
}

const reports = (report: string): string[] =>
  existsSync(report) ? readFileSync(report, 'utf8').trimEnd().split('\n').slice(1) : []

test('terminal: a paused terminal blocks neither the process nor its end', { skip }, async () => {
  using folder = new Folder()
  const report = folder.at('report')
  const script = onTerminal(report, 'end')
  try {
    await until('the process reports that it ends', () => reports(report).length === 2)
    assert.deepEqual(reports(report), ['retryable', 'ends'])
    const pid = readFileSync(report, 'utf8').split('\n')[0] ?? ''
    await until('it has ended', () => !existsSync(`/proc/${pid}/exe`))
  } finally {
    script.kill('SIGKILL')
  }
})

test('terminal: once it is read again, it gets every line whole, once and in order', { skip }, async () => {
  using folder = new Folder()
  const report = folder.at('report')
  const script = onTerminal(report, 'wait')
  try {
    await until('the terminal takes no more', () => reports(report).length === 1)
    let text = ''
    script.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    await until('all is delivered', () => reports(report).length === 3 && text.length >= 1000 * 501)
    assert.deepEqual(reports(report), ['retryable', 'delivered', 'ends'])
    assert.deepEqual(idsOf(text), numbers(0, 1000))
  } finally {
    script.kill('SIGKILL')
  }
})
