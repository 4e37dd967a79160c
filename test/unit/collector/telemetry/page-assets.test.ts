/** The files of the status page as a browser gets them. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { filtering } from '../../../../config/agent/filtering/filter.ts'
import type { Answer } from '../../../../collector/telemetry/http.ts'
import { readAssets } from '../../../../collector/telemetry/page-assets.ts'
import { createPageToken } from '../../../../collector/telemetry/live/page-token.ts'
import { requestOf } from '../support/request.ts'

const FOLDER = fileURLToPath(new URL('../../../../collector/telemetry/page/', import.meta.url))
const assets = readAssets({ numbersNeed: 'nothing', eventsNeed: 'token', hint: 'sudo cat "<a&b>"' })

async function get(path: string, fields: Record<string, string> = {}): Promise<Answer> {
  const answer = await assets[path]?.(requestOf(path, { fields }))
  assert.ok(answer !== undefined && 'body' in answer)
  return answer
}

test('page: all files together stay small, and each is served', async () => {
  const files = readdirSync(FOLDER)
  assert.equal(files.length, Object.keys(assets).length)
  const bytes = files.reduce((sum, file) => sum + statSync(join(FOLDER, file)).size, 0)
  assert.ok(bytes < 41 << 10, `${bytes} bytes`)
})

test('page: nothing is inline or from elsewhere, and headers make the browser enforce that', async () => {
  for (const path of Object.keys(assets)) {
    const { status, headers, body } = await get(path)
    assert.equal(status, 200)
    const policy = headers?.['Content-Security-Policy'] ?? ''
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /unsafe|data:|\*/)
    assert.doesNotMatch(
      String(body).replaceAll('http://www.w3.org/2000/svg', ''),
      /https?:\/\/|\bon[a-z]+="|style="|innerHTML/,
    )
  }
  const html = readFileSync(join(FOLDER, 'index.html'), 'utf8')
  const used = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, path]) => path)
  const imported = readdirSync(FOLDER)
    .filter((file) => file.endsWith('.js'))
    .flatMap((file) => [...readFileSync(join(FOLDER, file), 'utf8').matchAll(/from '\.(\/[^']+)'/g)])
    .map(([, path]) => path)
  for (const path of [...used, ...imported]) assert.ok(path !== undefined && path in assets, path)
})

test('page: the rights of a page are in its attributes, escaped', async () => {
  const html = String((await get('/')).body)
  assert.match(html, /data-numbers="nothing" data-events="token" data-hint="sudo cat &#34;&#60;a&#38;b&#62;&#34;"/)
  assert.doesNotMatch(html, /\{\{/)
})

test('page: a browser that already has a file gets 304 without content', async () => {
  for (const path of Object.keys(assets)) {
    const tag = (await get(path)).headers?.ETag ?? ''
    assert.match(tag, /^"[\w-]{22}"$/)
    for (const sent of [tag, `W/${tag}`, `"other", ${tag}`]) {
      const { status, body, headers } = await get(path, { 'if-none-match': sent })
      assert.deepEqual([status, body, headers?.ETag], [304, '', tag])
    }
    assert.equal((await get(path, { 'if-none-match': '"other"' })).status, 200)
  }
})

test('page: the token of a run is new each time, and only the agent can read its file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'page-token-'))
  const file = join(folder, 'ktrail/page-token')
  const first = await createPageToken(file)
  await using old = await open(file)
  const second = await createPageToken(file)
  assert.notEqual(first.token, second.token)
  assert.equal(readFileSync(file, 'utf8'), `${second.token}\n`)
  assert.match(second.token, /^[\w-]{24}$/)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  // A reader that holds the file of an earlier run open does not see the new token.
  assert.equal(await old.readFile('utf8'), `${first.token}\n`)
  await second[Symbol.asyncDispose]()
  await assert.rejects(stat(file))
  await rm(folder, { recursive: true })
})

test('page: the list of types has each type of record', async () => {
  const { body } = await get('/')
  const offered = Array.from(String(body).matchAll(/<option>(\w+)<\/option>/g), ([, type]) => type)
  const [issue] = filtering.filter.safeParse({ event_types: ['none'] }).error?.issues ?? []
  assert.deepEqual(offered, issue?.code === 'invalid_value' ? issue.values : undefined)
})
