import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

const LOG = new URL('../../../collector/log.ts', import.meta.url).href
const script = (format: string): string => `
  import { createLog } from '${LOG}'
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
  test(`log: ${format} goes to standard error, and a reader that has gone away ends nobody`, async () => {
    const [, err] = await written(format, true)
    assert.match(err, want)
    assert.deepEqual(await written(format, false), ['ended by itself\n', '', 0])
  })
}
