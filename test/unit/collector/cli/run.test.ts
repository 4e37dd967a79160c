/** Ends of an agent from outside, each in a process of its own: signals and exceptions, also during the start. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { listSpool, systemSpoolFiles } from '../../../../exporters/index.ts'
import { UserFolder } from '../../exporters/sinks/npm/support.ts'

const LIVE = join(import.meta.dirname, 'support/live.ts')
const DEADLINE_MS = 60_000

interface Line {
  readonly level: number
  readonly msg: string
}

interface Ended {
  readonly code: number | null
  readonly lines: readonly Line[]
}

/** Installs the package, runs the agent with it, and sends `signal` once a line of the log has the message `when`. */
async function livesWith(
  folder: UserFolder,
  members: string,
  {
    more = '',
    signal,
    when,
  }: { readonly more?: string; readonly signal?: NodeJS.Signals; readonly when?: string } = {},
): Promise<Ended> {
  folder.install(
    'pkg',
    `export const ktrail = 1
export default (options, { warn }) => ({
  type: 'pkg', encoding: 'json', async start() {}, async stop() { warn('closed') },
  async send() { return { status: 'retryable', error: new Error('not now') } }, ${members}
})`,
  )
  writeFileSync(
    folder.configFile,
    `shutdown: { grace: 100ms }
exporters:
  mine: { type: npm:pkg, batch: { max_wait: 0ms } ${more} }
`,
  )
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', LIVE, folder.configFile], {
    stdio: ['ignore', 'inherit', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  let text = ''
  child.stderr.on('data', (bytes: Buffer) => {
    const before = text
    text += bytes.toString()
    const sign = `"msg":"${when}`
    if (signal !== undefined && text.includes(sign) && !before.includes(sign)) child.kill(signal)
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const lines = text
    .trimEnd()
    .split('\n')
    // Node's own message at an exit by an exception is no line of the log.
    .filter((line) => line.startsWith('{'))
    .map((line): Line => JSON.parse(line))
  return { code, lines }
}

const messages = ({ lines }: Ended): string[] => lines.map(({ msg }) => msg)
const spoolOf = (folder: UserFolder): string => `, spool: { dir: ${folder.at('spool')}, min_free: 0B }`

async function spooled(folder: UserFolder): Promise<number> {
  const { end, settled } = await listSpool(folder.at('spool/mine'), systemSpoolFiles)
  return end - settled
}

const uncaught: ReadonlyArray<readonly [what: string, code: string, want: RegExp]> = [
  ['an exception in a timer', `throw new Error('boom')`, /shows its origin: Error: boom$/],
  ['an unhandled rejection', `void Promise.reject()`, /shows its origin: .*UnhandledPromiseRejection/],
  ['a value that cannot be printed', `throw Object.create(null)`, /shows its origin: \[Object: null prototype\]/],
  [
    'an exception at each turn, and one at the exit,',
    `setInterval(() => { throw new Error('boom') }, 1); process.on('exit', () => { throw new Error('last') })`,
    /shows its origin: Error: boom$/,
  ],
]
for (const [what, code, want] of uncaught) {
  test(`run: ${what} is reported, and ends the agent with all its events in the spool`, async () => {
    using folder = new UserFolder()
    const ended = await livesWith(folder, `async start() { setTimeout(() => { ${code} }, 50) }`, {
      more: spoolOf(folder),
    })
    assert.equal(ended.code, 1, messages(ended).join('\n'))
    const fatal = ended.lines.filter(({ level }) => level === 60)
    assert.equal(fatal.length, 1)
    assert.match(fatal[0]?.msg ?? '', want)
    assert.ok(messages(ended).includes('stopping'))
    assert.equal(messages(ended).at(-1), 'closed')
    assert.equal(await spooled(folder), 10)
  })
}

test('run: an exception while a package starts ends the start and closes what was started', async () => {
  using folder = new UserFolder()
  const ended = await livesWith(
    folder,
    `start() { setTimeout(() => { throw new Error('boom') }); return new Promise(() => {}) }`,
  )
  assert.equal(ended.code, 1)
  const [starting, fatal, ...rest] = messages(ended)
  assert.equal(starting, 'starting')
  assert.match(fatal ?? '', /boom$/)
  assert.deepEqual(rest, ['closed', 'stopped before it was ready'])
})

test('run: a signal ends a hanging start and closes what was started', async () => {
  using folder = new UserFolder()
  const start = `start() { warn('hangs'); return new Promise(() => {}) }`
  const ended = await livesWith(folder, start, { signal: 'SIGTERM', when: 'hangs' })
  assert.deepEqual(messages(ended), ['starting', 'hangs', 'closed', 'stopped before it was ready'])
  assert.equal(ended.code, 0)
})

test('run: a send that ignores its time-out is reported, and a stop keeps its batch in the spool', async () => {
  using folder = new UserFolder()
  const ended = await livesWith(folder, `send: () => new Promise(() => {})`, {
    more: `, timeout: 100ms ${spoolOf(folder)}`,
    signal: 'SIGTERM',
    when: 'cannot send events, retrying: exporter \\"npm:pkg\\" has not ended a send',
  })
  assert.equal(ended.code, 0, messages(ended).join('\n'))
  assert.equal(await spooled(folder), 10)
})

test('run: an exception while the agent drains is reported, and the exit code is 1', async () => {
  using folder = new UserFolder()
  const members = `async send() { return { status: 'delivered' } },
    async stop() { setTimeout(() => { throw new Error('late') }); await new Promise((go) => process.once('uncaughtException', go)) }`
  const ended = await livesWith(folder, members, { signal: 'SIGINT', when: 'ready' })
  assert.equal(ended.code, 1)
  assert.deepEqual(messages(ended).slice(0, 3), ['starting', 'ready', 'stopping'])
  assert.match(messages(ended)[3] ?? '', /shows its origin: Error: late$/)
})

test('run: SIGHUP during the start does not end it, and reopens files once it is ready', async () => {
  using folder = new UserFolder()
  const members = `async start() { warn('begins'); await new Promise((go) => process.once('SIGHUP', go)) },
    async reopen() { warn('reopened'); process.kill(process.pid, 'SIGTERM') },
    async send() { return { status: 'delivered' } }`
  const ended = await livesWith(folder, members, { signal: 'SIGHUP', when: 'begins' })
  assert.deepEqual(messages(ended), ['starting', 'begins', 'ready', 'reopened', 'stopping', 'closed'])
  assert.equal(ended.code, 0)
})

test('run: events that were not delivered in time are counted, and the exit code is 1', async () => {
  using folder = new UserFolder()
  const ended = await livesWith(folder, '', { signal: 'SIGTERM', when: 'ready' })
  assert.equal(ended.code, 1)
  assert.match(messages(ended).at(-1) ?? '', /^stopped before all events were delivered/)
})

/** An agent whose start fails, as systemd runs it, with so many failed starts before it; `seen` gets each line of its log. */
async function failsToStart(folder: UserFolder, before: number, seen: (line: string, child: ChildProcess) => void) {
  const file = folder.at('failed-starts')
  writeFileSync(file, String(before))
  const room = (path: string): string => JSON.stringify(join(import.meta.dirname, '../../../../collector', path))
  const program = `import { live } from ${room('cli/run.ts')}
import { createLog } from ${room('host/log.ts')}
const log = createLog({ level: 'info', format: 'json' })
process.exit(await live(() => Promise.reject(new Error('no such right')), log).catch(() => 1))`
  const socket = folder.at('socket')
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    {
      env: { ...process.env, NOTIFY_SOCKET: socket, RUNTIME_DIRECTORY: join(file, '..') },
      stdio: ['ignore', 'inherit', 'pipe'],
      timeout: DEADLINE_MS,
    },
  )
  for await (const line of createInterface({ input: child.stderr })) seen(line, child)
  if (child.exitCode === null) await once(child, 'exit')
  return { code: child.exitCode, count: existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined }
}

test('run: the first failed start under systemd ends at once', async () => {
  using folder = new UserFolder()
  const ended = await failsToStart(folder, 0, (line) => assert.doesNotMatch(line, /retrying in/))
  assert.deepEqual(ended, { code: 1, count: '1' })
})

test('run: a later failed start waits with a reason, and a signal ends the wait and resets the count', async () => {
  using folder = new UserFolder()
  let waits = 0
  const ended = await failsToStart(folder, 9, (line, child) => {
    if (!line.includes(`"msg":"the start failed again; retrying in 60 s: no such right"`)) return
    waits++
    child.kill('SIGTERM')
  })
  assert.deepEqual(ended, { code: 0, count: undefined })
  assert.equal(waits, 1)
})

test('run: SIGUSR2 starts the program again; if that one cannot start, this one goes on, and the log has the reason', async () => {
  using folder = new UserFolder()
  const config = `exporters: { archive: { type: file, path: ${folder.at('events.jsonl')} } }\n`
  writeFileSync(folder.configFile, config)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', LIVE, folder.configFile], {
    stdio: ['ignore', 'inherit', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  const closed = once(child, 'close')
  const seen: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    seen.push(line)
    if (line.includes('"msg":"ready"')) {
      writeFileSync(folder.configFile, 'exporters: {}\n')
      child.kill('SIGUSR2')
    }
    if (line.includes('did not take over')) child.kill('SIGTERM')
  }
  assert.deepEqual(await closed, [0, null], seen.join('\n'))
  const reason = seen.find((line) => line.includes('did not take over')) ?? ''
  assert.match(reason, /the next agent did not take over, and this one goes on: it has ended, with its reason above/)
})
