import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { createLog, isJournal } from '../../../../collector/host/log.ts'
import { errno } from '../../exporters/support/faulty-files.ts'

/** A reader that takes a line on request. */
class Slow extends Writable {
  text = ''
  #next: (() => void) | undefined

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    this.#next = done
  }

  takeAll(): void {
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined
      next()
    }
  }
}

test('log: format text is readable lines, format json is JSON', () => {
  for (const [format, want] of [
    ['text', /^ktrail: warn: disk full exporter=a n=1\n$/],
    ['json', /^\{"level":40,"time":\d+,"exporter":"a","n":1,"msg":"disk full"\}\n$/],
  ] as const) {
    const stream = new Slow()
    createLog({ level: 'info', format }, stream).warn({ exporter: 'a', n: 1 }, 'disk full')
    assert.match(stream.text, want)
  }
})

test('log: text has the whole value of a field, such as the reasons of errors by name', () => {
  const stream = new Slow()
  createLog({ level: 'info', format: 'text' }, stream).warn({ paths: { '/f': 'ENOENT: cannot open' } }, 'x')
  assert.equal(stream.text, 'ktrail: warn: x paths={"/f":"ENOENT: cannot open"}\n')
})

test('log: on the journal a line begins with its priority', () => {
  const stream = new Slow()
  const log = createLog({ level: 'trace', format: 'text' }, stream, true)
  for (const level of ['debug', 'info', 'warn', 'error', 'fatal'] as const) {
    log[level]('x')
    stream.takeAll()
  }
  createLog({ level: 'info', format: 'json' }, stream, true).error('x')
  stream.takeAll()
  const lines = stream.text.trim().split('\n')
  assert.deepEqual(
    lines.map((line) => line.slice(0, 4)),
    ['<7>k', '<6>k', '<4>k', '<3>k', '<2>k', '<3>{'],
  )
  const stat = (): { dev: number; ino: number } => ({ dev: 8, ino: 42 })
  assert.ok(isJournal('8:42', stat))
  assert.ok(!isJournal('8:43', stat), 'standard error is redirected')
  assert.ok(!isJournal(undefined, stat))
})

test('log: format auto is text on a terminal, else JSON', () => {
  const [shown, piped] = [new Slow(), new Slow()]
  createLog({ level: 'info', format: 'auto' }, shown, false, true).error('x')
  createLog({ level: 'info', format: 'auto' }, piped, false, false).error('x')
  createLog({ level: 'info', format: 'json' }, piped, false, true).error('y')
  for (const stream of [shown, piped]) stream.takeAll()
  assert.equal(shown.text, 'ktrail: error: x\n')
  assert.match(piped.text, /^\{"level":50.*"x"\}\n\{"level":50.*"y"\}\n$/)
})

test('log: foreign text stays on one line, and cannot imitate another line or field', () => {
  const stream = new Slow()
  const log = createLog({ level: 'info', format: 'text' }, stream)
  const forged = 'p\nktrail: info: ready'
  log.warn(
    { file: `/p/${forged}.yaml`, policy: 'a exporter=b', why: ['\u202e', '\x9b1A\n'], n: 1 },
    `no: ${forged}\x1b[2K`,
  )
  const file = 'file="/p/p\\nktrail: info: ready.yaml"'
  const rest = 'policy="a exporter=b" why=["\\u202e","\\u009b1A\\n"] n=1'
  assert.equal(stream.text, `ktrail: warn: no: p\\nktrail: info: ready\\x1b[2K ${file} ${rest}\n`)
})

for (const format of ['text', 'json'] as const) {
  test(`log, ${format}: unread lines wait, up to a bound; dropped ones are counted and reported`, () => {
    const stream = new Slow()
    const log = createLog({ level: 'info', format }, stream)
    const long = 'x'.repeat(1000)
    for (let i = 0; i < 2000; i++) log.info(`line ${i} ${long}`)
    assert.ok(stream.writableLength > 1 << 20 && stream.writableLength < 1.1 * (1 << 20), `${stream.writableLength}`)
    stream.takeAll()
    log.info('last')
    stream.takeAll()
    const lines = stream.text.trimEnd().split('\n')
    const [dropped = '', last = ''] = lines.splice(-2)
    assert.match(last, /last/)
    assert.match(dropped, /lines of the log were dropped/)
    assert.equal(Number(/lines"?[:=](\d+)/.exec(dropped)?.[1]), 2000 - lines.length)
  })
}

test('log: a closed pipe does not end the process', async () => {
  const stream = new Slow()
  const log = createLog({ level: 'info', format: 'text' }, stream)
  stream.destroy(errno('EPIPE'))
  await new Promise((resolve) => stream.once('close', resolve))
  log.info('this line has no reader')
})

const LOG = new URL('../../../../collector/host/log.ts', import.meta.url).href
const script = (format: string): string => `
  import { createLog, isJournal } from '${LOG}'
  const log = createLog({ level: 'info', format: '${format}' })
  for await (const _ of process.stdin) log.info({ at: 7 }, 'a line')
  console.log('ended by itself')`

async function written(format: string, read: boolean): Promise<[out: string, err: string, code: number | null]> {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script(format)]
  const child = spawn(process.execPath, args, { stdio: 'pipe' })
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  if (!read) child.stderr.destroy()
  child.stdin.end('go')
  const [out, err] = await Promise.all([text(child.stdout), read ? text(child.stderr) : ''])
  return [out, err, await closed]
}

for (const [format, want] of [
  ['json', /^\{"level":30,"time":\d+,"at":7,"msg":"a line"\}\n$/],
  ['text', /^ktrail: info: a line at=7\n$/],
] as const) {
  test(`log: ${format} goes to standard error, and a closed pipe does not end the process`, async () => {
    const [, err] = await written(format, true)
    assert.match(err, want)
    assert.deepEqual(await written(format, false), ['ended by itself\n', '', 0])
  })
}
