import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { StdoutExporter } from '../../../../../exporters/sinks/stdout/exporter.ts'
import { wantsColor } from '../../../../../exporters/sinks/stdout/exporter.ts'
import { settle } from '../../support/fake-clock.ts'
import { errno } from '../../support/faulty-files.ts'
import { Folder } from '../../support/folder.ts'
import { batch, idsOf, lines, numbers } from '../../support/lines.ts'

const NEVER = new AbortController().signal

/** A stream whose reader takes one chunk at a time, on request. */
class Slow extends Writable {
  text = ''
  #next: ((error?: Error) => void) | undefined

  constructor() {
    super({ highWaterMark: 1 })
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#next = (error) => {
      if (error === undefined) this.text += chunk.toString()
      done(error)
    }
  }

  async take(error?: Error): Promise<void> {
    this.#next?.(error)
    await settle()
  }
}

async function make(): Promise<{ stream: Slow; exporter: StdoutExporter }> {
  const stream = new Slow()
  const exporter = new StdoutExporter('json', stream)
  await exporter.start()
  return { stream, exporter }
}

function watch(promise: Promise<Outcome>): { outcome: Outcome | undefined } {
  const result: { outcome: Outcome | undefined } = { outcome: undefined }
  void promise.then((outcome) => (result.outcome = outcome))
  return result
}

function sentence(outcome: Outcome | undefined): string {
  return outcome !== undefined && 'error' in outcome ? `${outcome.status}: ${outcome.error.message}` : 'none'
}

test('stdout: an event is delivered once the reader has taken all of it', async () => {
  const { stream, exporter } = await make()
  const result = watch(exporter.send(batch(lines(0, 2), lines(2, 2)), NEVER))
  await stream.take()
  assert.equal(result.outcome, undefined)
  await stream.take()
  assert.deepEqual(result.outcome, { status: 'delivered' })
  assert.deepEqual(idsOf(stream.text), numbers(0, 4))
})

test('stdout: exporters of earlier configs leave one listener on standard output', async () => {
  const stream = new Slow()
  for (let i = 0; i < 20; i++) {
    const exporter = new StdoutExporter('json', stream)
    await exporter.start()
    await exporter.stop()
  }
  assert.equal(stream.listenerCount('error'), 1)
})

test('stdout: after an abort the same events are not written twice', async () => {
  const { stream, exporter } = await make()
  const part = lines(0, 2)
  const controller = new AbortController()
  const first = watch(exporter.send(batch(part), controller.signal))
  controller.abort()
  await settle()
  assert.match(sentence(first.outcome), /^retryable: the reader of standard output is not reading/)
  assert.ok(
    first.outcome?.status === 'retryable' && first.outcome.unacknowledged === 0,
    'it is not written a second time',
  )
  const again = watch(exporter.send(batch(part), NEVER))
  await stream.take()
  assert.deepEqual(again.outcome, { status: 'delivered' })
  assert.deepEqual(idsOf(stream.text), [0, 1])
})

test('stdout: a closed pipe is a hold with a message, now and on every later send', async () => {
  const { stream, exporter } = await make()
  const result = watch(exporter.send(batch(lines(0, 2)), NEVER))
  await stream.take(errno('EPIPE'))
  const want = 'hold: cannot write to standard output: its reader is gone (EPIPE); restart the agent to use it again'
  assert.equal(sentence(result.outcome), want)
  assert.equal(sentence(await exporter.send(batch(lines(2, 2)), NEVER)), want)
  await exporter.stop()
})

test('stdout: does not close the stream, and a late error after the stop has no effect', async () => {
  const { stream, exporter } = await make()
  await exporter.stop()
  await exporter.stop()
  assert.equal(stream.writableEnded, false)
  stream.emit('error', errno('EPIPE'))
  assert.match(sentence(await exporter.send(batch(lines(0, 1)), NEVER)), /^retryable: standard output is not open/)
})

/** Sends a line of 1 MiB from a process with this standard output; returns its outcome and its exit code. */
async function sendTo(stdout: 'pipe' | number, onStart?: (child: ChildProcess) => void): Promise<[string, number]> {
  const url = new URL('../../../../../exporters/sinks/stdout/exporter.ts', import.meta.url)
  const code = `
    import { createStdoutExporter } from ${JSON.stringify(url.href)}
    const exporter = createStdoutExporter('json')
    await exporter.start()
    const bytes = Buffer.alloc(1 << 20, '\\n')
    const parts = [{ encoding: 'json', bytes, ends: Uint32Array.of(bytes.length), count: 1, firstSeq: 0 }]
    const outcome = await exporter.send({ parts, count: 1, sizeBytes: bytes.length }, new AbortController().signal)
    await exporter.stop()
    console.error(JSON.stringify([outcome.status, outcome.forGood === true, outcome.error?.message ?? '']))`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], {
    stdio: ['ignore', stdout, 'pipe'],
  })
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  onStart?.(child)
  const [exit] = await once(child, 'close')
  return [stderr.trimEnd(), Number(exit)]
}

test('stdout: a real pipe whose reader ends changes neither the process nor its exit code', async () => {
  const result = await sendTo('pipe', ({ stdout }) => stdout?.once('data', () => stdout.destroy()))
  const why = 'cannot write to standard output: its reader is gone (EPIPE); restart the agent to use it again'
  assert.deepEqual(result, [JSON.stringify(['hold', true, why]), 0])
})

for (const how of ['w', 'a']) {
  test(`stdout: a real file (${how}) gets all of it after its present content, and later output after that`, async () => {
    using folder = new Folder()
    const fd = openSync(folder.at('out'), how)
    writeSync(fd, 'before\n')
    assert.deepEqual(await sendTo(fd), [JSON.stringify(['delivered', false, '']), 0])
    writeSync(fd, 'after\n')
    closeSync(fd)
    assert.equal(folder.read('out'), `before\n${'\n'.repeat(1 << 20)}after\n`)
  })
}

test('stdout: a full disk is waited for', async () => {
  const fd = openSync('/dev/full', 'w')
  const [outcome] = await sendTo(fd)
  closeSync(fd)
  assert.match(outcome, /^\["retryable",false,"cannot write to .*: no space left on its file system \(ENOSPC\)/)
})

for (const [when, terminal, env, want] of [
  ['auto', true, {}, true],
  ['auto', false, {}, false],
  ['auto', true, { NO_COLOR: '1' }, false],
  ['auto', true, { NO_COLOR: '' }, true],
  ['always', false, { NO_COLOR: '1' }, true],
  ['never', true, {}, false],
] as const) {
  test(`colour: ${when}, terminal ${terminal}, ${JSON.stringify(env)} gives ${want}`, () => {
    assert.equal(wantsColor(when, terminal, env), want)
  })
}
