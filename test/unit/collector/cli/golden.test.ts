/**
 * The output of every command in test/fixtures/commands/: on terminals of 80 and 40 columns, piped, with NO_COLOR, with a slow agent, without one.
 * A command that the table gets is in it by itself. UPDATE_GOLDEN=1 rewrites the files; review as code, and read each aloud.
 */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { after, describe, it, mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import tty from 'node:tty'
import { pino } from 'pino'
import { UsageError, exitCodeOf } from '../../../../collector/cli/command.ts'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { allSpecs, isGroup } from '../../../../collector/cli/table/spec.ts'
import type { CommandSpec } from '../../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../../collector/cli/table/table.ts'
import { until } from '../../../e2e/support/wait.ts'
import { configOrThrow } from '../../../../config/agent/check.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { createFanOut, EncoderPool } from '../../../../exporters/index.ts'
import { startPageAgent } from '../../../support/page/agent.ts'
import { file, int, makeHook, makeKprobe, makeProcess } from '../../exporters/support/events.ts'
import { Rig } from '../api/support/rig.ts'
import { NODE } from '../support/processes.ts'
import { enabledPolicies, idOf, policyOf } from '../support/policies.ts'
import { Host } from './support/spools.ts'

const ROOT = join(import.meta.dirname, '../../../..')
const FOLDER = join(import.meta.dirname, '../../../fixtures/commands')
const ROWS = 24
const SLOW_MS = 200
const SILENT = pino({ level: 'silent' })
const ADDRESS = ['server', 'http']

/** Arguments by command; others have none. */
const ARGUMENTS: Readonly<Record<string, string>> = {
  run: '--config F/missing.yaml',
  watch: '/etc/passwd',
  trace: '-- true',
  check: 'F/policy.yaml F/wrong.yaml',
  init: '--loki http://loki:3100 --output -',
  'migrate tetragon': 'F/tetragon.yaml',
  'migrate auditd': 'F/audit.rules',
  'config print': '--config F/c.yaml',
  top: '--once',
  events: '-o compact',
  tap: 'archive',
  'policy add': 'F/policy.yaml',
  'policy library': 'ssh',
  'policy show': 'files',
  'policy estimate': '--for 1s F/policy.yaml',
  'policy delete': 'files',
  'policy enable': 'files',
  'policy disable': 'files',
  'spool ls': '--config F/c.yaml',
  'spool verify': '--config F/c.yaml',
  'spool repair': '--config F/c.yaml bus',
  'spool replay': '--config F/c.yaml --to copy bus',
  audit: 'F/events.jsonl',
  'oci-hook': '--log F/oci-hook.log',
  completion: 'words -- policy l',
}
/** These print files, lists of mistakes or events, a line each. Others print tables and sentences. */
const LINES = ['watch', 'check', 'init', 'migrate', 'config', 'events', 'tap', 'policy show', 'completion']

interface Scenario {
  readonly name: string
  readonly columns?: number
  readonly env?: Readonly<Record<string, string>>
  readonly agent: 'running' | 'slow' | 'absent'
}

const SCENARIOS: readonly Scenario[] = [
  { name: '80 columns', columns: 80, agent: 'running' },
  { name: '40 columns', columns: 40, agent: 'running' },
  { name: 'piped', agent: 'running' },
  { name: 'NO_COLOR', columns: 80, env: { NO_COLOR: '1' }, agent: 'running' },
  { name: 'slow agent', columns: 80, agent: 'slow' },
  { name: 'no agent', columns: 80, agent: 'absent' },
]

const policy = (name: string): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name },
    spec: { kprobes: [{ call: 'fd_install', syscall: false }] },
  })

/** Whether standard output is a terminal for the command that runs. */
const onTerminal = new AsyncLocalStorage<boolean>()
mock.method(tty, 'isatty', () => onTerminal.getStore() === true)
syncBuiltinESMExports()
after(() => {
  process.stdin.destroy()
  mock.restoreAll()
  syncBuiltinESMExports()
})

/** An address behind which each byte from the agent comes late. */
async function slowly(undo: AsyncDisposableStack, to: string, path: string): Promise<string> {
  const target = new URL(to)
  const server = createServer((from) => {
    const agent = target.protocol === 'unix:' ? connect(target.pathname) : connect(Number(target.port), target.hostname)
    undo.defer(() => void from.destroy())
    from.on('error', () => agent.destroy()).on('close', () => agent.destroy())
    agent.on('error', () => from.destroy()).on('end', () => from.end())
    from.on('data', (data) => void setTimeout(SLOW_MS).then(() => agent.write(data)))
    agent.pipe(from)
  }).listen(path)
  undo.defer(() => void server.close())
  return `unix://${path}`
}

async function output(name: string, options: CommandSpec['options'] = {}, scenario: Scenario): Promise<string> {
  const { columns, env = {}, agent } = scenario
  await using undo = new AsyncDisposableStack()
  const host = undo.use(
    new Host('  copy: { type: file, path: F/copy.jsonl }\n  bus: { type: stdout, spool: { dir: F/spool } }'),
  )
  await host.fill('bus', 3, 1)
  const at = (path: string): string => host.folder.at(path)
  writeFileSync(at('policy.yaml'), policy('opens'))
  writeFileSync(at('wrong.yaml'), policy('opens').replace('fd_install"', 'fd_install","sycall":1'))
  writeFileSync(at('tetragon.yaml'), 'export-filename: /var/log/tetragon.log\nno-such-key: 1\n')
  writeFileSync(at('audit.rules'), '-w /etc/passwd -p wa -k id\n-a always,exit -S open\n')
  writeFileSync(at('events.jsonl'), '{"time":"2026-03-09T05:30:00Z"}\n')
  const args = [...name.split(' '), ...(ARGUMENTS[name] ?? '').split(' ').filter((word) => word !== '')]
  const addresses = { server: `unix://${at('absent-server')}`, http: `unix://${at('absent-http')}` }
  const { config } = configOrThrow(loadConfig(`exporters: {archive: {type: file, path: ${at('x')}}}`, 'c.yaml', {}))
  const context = { nodeName: NODE, epoch: 'e', encoders: new EncoderPool(NODE), env: {}, log: SILENT }
  const fanout = await createFanOut(config.exporters, { ...context, configFile: 'c.yaml' })
  await fanout.start()
  undo.defer(() => void fanout.stop(0))
  const rig = undo.use(await Rig.start(undefined, undefined, fanout.routes))
  let running = true
  if (agent !== 'absent' && ADDRESS.some((option) => option in options)) {
    const page = undo.use(
      await startPageAgent({
        exporters: '{archive: {type: file, path: FOLDER/x.jsonl}, loki: {type: file, path: FOLDER/y.jsonl}}',
        policies: enabledPolicies({ name: 'files', modes: ['fexit', 'join'] }),
        losses: [{ hook: 'fd_install', reason: 'missed_run', count: 12 }],
      }),
    )
    await rig.policies.add(idOf('files', 'grpc'), policyOf('files'))
    addresses.server = `unix://${rig.path}`
    addresses.http = new URL(page.url).host
    if (agent === 'slow') {
      addresses.server = await slowly(undo, addresses.server, at('slow-server'))
      addresses.http = await slowly(undo, page.url, at('slow-http'))
    }
  }
  for (const option of ADDRESS) if (option in options) args.splice(name.split(' ').length, 0, `--${option}`, option)
  const [out, err]: [string[], string[]] = [[], []]
  const typed = args.map((word) =>
    word === 'server' || word === 'http' ? addresses[word] : word.replace('F/', `${host.folder.path}/`),
  )
  const terminal = {
    env,
    columns,
    nowMs: () => host.clock.wallMs(),
    print: (text: string | Uint8Array) => Promise.resolve(out.push(Buffer.from(text).toString()) > 0),
    printError: (line: string) => void err.push(`${line}\n`),
  }
  const ended = onTerminal
    .run(columns !== undefined, () => ktrail(typed, terminal))
    .catch((error: unknown) => {
      if (!(error instanceof Error)) throw error
      err.push(
        error instanceof UsageError ? `ktrail: ${error.message}\nSee: ${error.see}\n` : `ktrail: ${error.message}\n`,
      )
      return exitCodeOf(error)
    })
    .finally(() => (running = false))
  // A command that reads events gets one, but not in top, whose rates differ from run to run; then the agent stops.
  await until(name, () => !running || rig.api.readers.count + rig.delivery.tapCount > 0)
  if (running && name !== 'top') {
    const [watched = 'files'] = rig.kernel.names.filter((each) => each !== 'files')
    const hook = makeHook({ policy: watched, ...(watched !== 'files' && { private: true }) })
    const process = makeProcess({ pid: 812, uid: 7, binary: '/usr/bin/head', arguments: '-n1 /etc/passwd' })
    rig.delivery.publish([makeKprobe({ hook, process, args: [file('/etc/passwd'), int(4)] })])
    await fanout.flush(5000)
    await rig.delivery.stop(1000)
  }
  const code = await ended
  if (columns !== undefined && !LINES.some((each) => name.startsWith(each)))
    for (const line of out.join('').split('\n'))
      assert.ok(line.length <= columns || !line.trim().includes(' '), `${line.length} columns: ${line}`)
  const text = `${lastLines(err.join(''))}${firstLines(out.join(''))}exit code: ${code}\n`
  return Object.entries({ ...addresses, F: host.folder.path, CHECKOUT: ROOT }).reduce(
    (masked, [word, value]) => masked.replaceAll(value, word.toUpperCase()),
    steady(text),
  )
}

/** Without what differs from run to run. */
function steady(text: string): string {
  return (
    text
      .replaceAll('\x1b', '␛')
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/g, 'YYYY-MM-DDThh:mm:ss')
      .replaceAll(/^\d\d:\d\d:\d\d/gm, 'hh:mm:ss')
      // Only after a while.
      .replaceAll(/^! ktrail: attaching to \d+ functions…\n/gm, '')
      .replaceAll(/(?<=up since \S+)\s+\([\dsmhd\s]+\)/g, ' (AGE)')
      .replaceAll(
        /(?<=ktrail )[\d.]+, node v[\d.]+,\s+libbpf\s+v[\d.]+,\s+kernel\s+\S+/g,
        'V, node V, libbpf V, kernel V',
      )
      .replaceAll(/, [\d.]+\s+MiB\s+of memory/g, ', N MiB of memory')
  )
}

function firstLines(text: string): string {
  const lines = text.split('\n')
  return lines.length <= ROWS + 1
    ? text
    : `${lines.slice(0, ROWS).join('\n')}\n… ${lines.length - ROWS - 1} more lines\n`
}

const lastLines = (text: string): string => text.replaceAll(/^/gm, '! ').replace(/! $/, '')

const COMMANDS = [...allSpecs(KTRAIL)].flatMap(([path, spec]) =>
  isGroup(spec) ? [] : [[path.slice('ktrail '.length), spec] as const],
)
const goldenOf = (name: string): string => join(FOLDER, `${name.replaceAll(' ', '-')}.txt`)

describe('output of commands', { concurrency: 8 }, () => {
  for (const [name, { options }] of COMMANDS) {
    it(`ktrail ${name}: equals its golden file (else: UPDATE_GOLDEN=1)`, async () => {
      const outputs = await Promise.all(SCENARIOS.map((scenario) => output(name, options, scenario)))
      const same = Map.groupBy(SCENARIOS, (_, i) => outputs[i] ?? '')
      const parts = [...same].map(([text, rows]) => `\n=== ${rows.map((row) => row.name).join(', ')}\n${text}`)
      const made = `$ ktrail ${[name, ARGUMENTS[name] ?? ''].join(' ').trimEnd()}\n${parts.join('')}`
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(goldenOf(name), made)
      assert.equal(made, existsSync(goldenOf(name)) ? readFileSync(goldenOf(name), 'utf8') : '')
      assert.doesNotMatch(outputs[3] ?? '', /␛/)
    })
  }

  it('no golden file is left of a removed command', () => {
    const wanted = COMMANDS.map(([name]) => goldenOf(name))
    for (const each of readdirSync(FOLDER)
      .map((own) => join(FOLDER, own))
      .filter((own) => !wanted.includes(own)))
      if (process.env['UPDATE_GOLDEN'] === '1') rmSync(each)
      else assert.fail(`${each}: no such command`)
  })
})
