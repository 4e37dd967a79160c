/** `ktrail status` with the pages of an agent without a kernel. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { awaitStatus } from '../../../../../collector/cli/status/page.ts'
import { startPageAgent } from '../../../../support/page/agent.ts'
import { makeExec } from '../../../exporters/support/events.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { enabledPolicies } from '../../support/policies.ts'
import { typed } from '../support/terminal.ts'

const EXPORTERS = '{archive: {type: file, path: FOLDER/x.jsonl, spool: {dir: FOLDER/spool}}}'
const start = (token?: string): ReturnType<typeof startPageAgent> =>
  startPageAgent({
    exporters: EXPORTERS,
    policies: enabledPolicies({ name: 'files' }),
    losses: [{ hook: 'fd_install', reason: 'missed_run', count: 12 }],
    ...(token === undefined ? {} : { token }),
  })
const hostOf = (url: string): string => new URL(url).host

test('status: one screen of 80 columns; the exit code says whether it is ready', async () => {
  await using agent = await start()
  await agent.publish([makeExec()])
  const end = performance.now() + 10_000
  const delivered = async (): Promise<boolean> =>
    (await typed(['status', '-o', 'json', '--http', hostOf(agent.url)])).stdout.includes('"delivered":1,')
  while (!(await delivered())) assert.ok(performance.now() < end, 'not delivered in 10 s')
  const { code, stdout, stderr } = await typed(['status', '--http', hostOf(agent.url)])
  assert.deepEqual([code, stderr], [0, ''])
  const shown = stdout
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:]+Z/g, 'TIME')
    .replace(/\(\d[\dsmhd ]*\)/, '(AGE)')
    .replace(/[\d.]+ MiB of/, 'MEMORY of')
  assert.equal(
    shown,
    `ready, up since TIME (AGE)
ktrail 1.2.3 on web-1, kernel 6.12, MEMORY of memory
config c0ffee in effect since TIME
  /etc/ktrail/ktrail.yaml; reloads: applied 2, refused 1
  refused TIME: ktrail.yaml:1:1: no

events 0/s (exec 0/s), 1 in all
lost in the kernel: missed_run(fd_install) 12

EXPORTER  STATE    RATE  DELIVERED  LOST  QUEUE  SPOOL
archive   healthy   0/s          1     0     0%    0 B

POLICY  STATE    HOOKS  RATE  HITS
files   enabled      0   0/s     0
`,
  )
  const wide = await typed(['status', '-o', 'wide', '--http', hostOf(agent.url)])
  assert.deepEqual([wide.code, wide.stdout.split('\n').length], [0, stdout.split('\n').length])
  agent.ready = false
  const not = await typed(['status', '--http', hostOf(agent.url)])
  assert.equal(not.code, 1)
  assert.match(not.stdout, /^NOT READY, up since .*\n {2}starting or stopping\n/)
})

test('status: of many policies it shows ten, those with a problem first; -o wide shows all', async () => {
  const many = Array.from({ length: 35 }, (_, i) => ({ name: `p${i}` }))
  await using agent = await startPageAgent({
    exporters: EXPORTERS,
    policies: enabledPolicies(...many, { name: 'last', lacking: ['this kernel lacks f'] }),
  })
  const { stdout } = await typed(['status', '--http', hostOf(agent.url)])
  assert.match(
    stdout,
    /\nPOLICY .*\nlast .*\n {2}this kernel lacks f\n(?:p\d .*\n){9}and 26 more policies: ktrail policy list\n$/,
  )
  const wide = await typed(['status', '-o', 'wide', '--http', hostOf(agent.url)])
  assert.equal(wide.stdout.match(/^(?:p\d+|last) /gm)?.length, 36)
})

test('status: -o json is the page; a token is sent', async () => {
  using folder = new Folder()
  await using agent = await start('open-sesame')
  const http = hostOf(agent.url)
  await assert.rejects(typed(['status', '-o', 'json', '--http', http]), /requires the token of its server.token/)
  const file = folder.at('token')
  writeFileSync(file, 'open-sesame\n')
  const { code, stdout } = await typed(['status', '-o', 'json', '--http', http, '--token-file', file])
  assert.equal(code, 0)
  assert.equal((JSON.parse(stdout) as { node_name: string }).node_name, 'web-1')
  // Keys of the config also provide the address and the token.
  const config = folder.at('c.yaml')
  writeFileSync(config, `server: { http: "${http}", token: open-sesame }\nexporters: { a: { type: stdout } }\n`)
  assert.equal((await typed(['status', '-o', 'json', '--config', config])).code, 0)
})

test('status: a missing agent, another server and a huge answer are explained', async () => {
  using folder = new Folder()
  const gone = `unix://${folder.at('no.sock')}`
  await assert.rejects(typed(['status', '--http', gone]), {
    message: `no agent listens on ${gone}: start it with ktrail run, or give its server.http with --http`,
  })
  await assert.rejects(typed(['status', '--http', 'here']), /^UsageError|--http: expected an address/)
  await using agent = await start()
  const page = (await typed(['status', '-o', 'json', '--http', hostOf(agent.url)])).stdout
  const undated = page.replace(/(?<="started":)"[^"]*"/, '"soon"')
  const answers = ['{"ready":true}', undated, 'x'.repeat(17 << 20)]
  const server = createServer((_, response) => response.end(answers.shift()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const http = `127.0.0.1:${(server.address() as AddressInfo).port}`
    for (const _ of ['another object', 'no time'])
      await assert.rejects(
        typed(['status', '--http', http]),
        /expected the \/status of this version .* got something else/,
      )
    await assert.rejects(typed(['status', '--http', http]), /an answer of at most 8388608 bytes, got more/)
  } finally {
    server.close()
  }
})

test('status: waits for a slow agent with a line for each try, and a bounded time', async () => {
  await using agent = await start()
  const { stdout: page } = await typed(['status', '-o', 'json', '--http', hostOf(agent.url)])
  let [requests, answersFrom] = [0, 3]
  const server = createServer((_, response) => {
    if (++requests >= answersFrom) response.end(page)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const source = { address: { host: '127.0.0.1', port }, token: undefined }
  try {
    const lines: string[] = []
    const terminal = { printError: (line: string): void => void lines.push(line) }
    assert.equal((await awaitStatus(source, terminal, 100)).text, page)
    const line = `ktrail: cannot read the status, retrying: the agent at 127.0.0.1:${port} did not answer in 0.1 s`
    assert.deepEqual([lines, requests], [[line, line], 3])
    answersFrom = Infinity
    await assert.rejects(awaitStatus(source, terminal, 100), /did not answer in 0\.1 s, 4 times: check its log$/)
    assert.equal(requests, 7)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('status: --watch shows each second, and waits for an agent that is away', async () => {
  await using agent = await start()
  const { stdout: page } = await typed(['status', '-o', 'json', '--http', hostOf(agent.url)])
  const server = createServer((_, response) => response.end(page)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const states: string[] = []
  const errors: string[] = []
  const print = async (text: string | Uint8Array): Promise<boolean> => {
    states.push(String(text))
    if (states.length === 2) {
      server.close()
      server.closeAllConnections()
    }
    return states.length < 3
  }
  const printError = (line: string): void => {
    errors.push(line)
    if (errors.length === 1) server.listen(port, '127.0.0.1')
  }
  try {
    const line = ['status', '--watch', '--http', `127.0.0.1:${port}`]
    const code = await ktrail(line, { env: {}, print, printError, nowMs: () => 0, columns: 80 })
    assert.deepEqual([code, states.length], [0, 3])
    // A terminal shows one state.
    for (const text of states) assert.ok(text.startsWith('\x1b[H\x1b[2Jready, up since '), text)
    assert.match(errors.join('\n'), /^ktrail: no agent listens on \S+: start it[^\n]*$/)
  } finally {
    server.close()
  }
})
