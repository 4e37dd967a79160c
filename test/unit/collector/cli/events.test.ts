/** `ktrail events`: lines of an agent without a kernel, and of standard input. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ClientError } from '../../../../collector/api/client.ts'
import type { Terminal } from '../../../../collector/cli/command.ts'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { eventsOf, Tail } from '../../../../collector/cli/events/input.ts'
import { GetEventsRequestSchema } from '../../../../collector/proto/tetragon/events_pb.js'
import { create } from '@bufbuild/protobuf'
import { createCompactEncoder } from '../../../../exporters/index.ts'
import type { Event } from '../../../../exporters/contract/event.ts'
import { asNobody } from '../../../support/other-user.ts'
import { goldenEvents } from '../../exporters/support/golden-events.ts'
import { makeExec, makeExit, makeLoss, makeNamedContainer, makeProcess } from '../../exporters/support/events.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { Rig } from '../api/support/rig.ts'
import { NODE } from '../support/processes.ts'

const ROOT = path.join(import.meta.dirname, '../../../..')
const KTRAIL = path.join(ROOT, 'ktrail')
const GOLDEN_NODE = 'tetragon-dev-control-plane'
const golden = (name: string): string => readFileSync(path.join(ROOT, 'test/golden', name), 'utf8')
/** Losses have no line of Tetragon's client; the first golden line of one is the end of the others. */
const lines = (name: string): string[] => golden(name).trimEnd().split('\n')
const withoutLosses = (all: readonly string[]): string[] => all.filter((line) => !line.includes('❗'))

interface GoldenProcess {
  readonly binary?: string
  readonly pod?: { readonly namespace: string; readonly name: string }
}

interface GoldenCall {
  readonly process: GoldenProcess
  readonly policy_name?: string
}

interface Golden {
  readonly process_exec?: { readonly process: GoldenProcess }
  readonly process_exit?: { readonly process: GoldenProcess }
  readonly process_kprobe?: GoldenCall
  readonly process_lsm?: GoldenCall
  readonly process_tracepoint?: GoldenCall
}

class FakeTerminal implements Terminal {
  readonly env = {}
  readonly printed: string[] = []
  readonly errors: string[] = []
  /** Lines that the reader takes before it goes. */
  readonly most: number
  readonly print: Terminal['print']
  readonly printError: Terminal['printError']
  readonly nowMs = (): number => 0

  constructor(most = Infinity) {
    this.most = most
    this.print = (text) => {
      if (this.printed.length >= this.most) return Promise.resolve(false)
      this.printed.push(typeof text === 'string' ? text : Buffer.from(text).toString())
      return Promise.resolve(true)
    }
    this.printError = (line) => void this.errors.push(line)
  }
}

/** Publishes once the command reads, then stops the agent. */
async function shown(args: string, events: readonly Event[], most?: number): Promise<FakeTerminal & { code: number }> {
  await using rig = await Rig.start()
  const terminal = new FakeTerminal(most)
  const running = ktrail(
    ['events', ...args.split(' ').filter((word) => word !== ''), '--server', `unix://${rig.path}`],
    terminal,
  )
  const end = performance.now() + 10_000
  while (rig.api.readers.count === 0) {
    assert.ok(performance.now() < end, 'the command did not connect in 10 s')
    await new Promise(setImmediate)
  }
  rig.delivery.publish(events)
  await rig.delivery.stop(0)
  return Object.assign(terminal, { code: await running })
}

test('events: JSON lines are those of the JSON encoder, byte by byte', async () => {
  const { printed, errors, code } = await shown('', goldenEvents())
  assert.equal(printed.join(''), golden('events.jsonl').replaceAll(GOLDEN_NODE, NODE))
  assert.deepEqual(errors.slice(0, -1), ['ktrail: 123 events lost here', 'ktrail: 5,000,000,000 events lost here'])
  assert.deepEqual([errors.at(-1), code], ['ktrail: the agent has stopped', 0])
})

test('events: compact lines are those of the compact encoder, byte by byte', async () => {
  const { printed } = await shown('-o compact', goldenEvents())
  assert.deepEqual(
    printed.join('').trimEnd().split('\n'),
    withoutLosses(lines('events.compact').map((line) => line.replace(GOLDEN_NODE, NODE))),
  )
})

test('events: colours and times', async () => {
  const event = makeExec()
  const { printed } = await shown('-o compact --timestamps --color always', [event])
  const encoder = createCompactEncoder({ nodeName: NODE, color: true, timestamps: true })
  assert.equal(printed.join(''), Buffer.from(encoder.encode([event]).bytes).toString())
  assert.ok(!(await shown('-o compact --color never', [event])).printed.join('').includes('\x1b'))
})

const FILTERS: ReadonlyArray<readonly [args: string, want: number]> = [
  ['', 2],
  ['-e exec', 1],
  ['--event-type process_exec,PROCESS_EXIT', 2],
  ['--policy mine', 0],
  ['--process /vi$', 2],
  ['--process ^vi', 0],
  ['--host', 2],
  ['--namespace default', 0],
  ['--pod .*', 0],
]

test('events: the agent filters', async () => {
  for (const [args, want] of FILTERS) {
    const { printed } = await shown(args, [makeExec(), makeExit()])
    assert.equal(printed.length, want, args)
  }
})

test('events: the agent filters by pod, and lines show it', async () => {
  const inPod = lines('events.compact').filter((line) => line.includes(' default/file-access '))
  assert.ok(inPod.length > 1)
  for (const args of ['--namespace default', '--pod file-access', '--namespace default --pod ^file-']) {
    const { printed } = await shown(`-o compact ${args}`, goldenEvents())
    assert.deepEqual(printed.join('').trimEnd().split('\n'), inPod, args)
  }
  const { printed } = await shown('-o compact --namespace default --pod cart', goldenEvents())
  assert.equal(printed.join(''), '')
})

test('events: the agent filters by the name that a runtime gave a container, and lines show it', async () => {
  const named = makeExec({ process: makeProcess({ container: makeNamedContainer() }) })
  for (const [args, want] of [
    ['--container ^web$', 1],
    ['--container ^eb', 0],
  ] as const) {
    const { printed } = await shown(`-o compact --color never ${args}`, [named, makeExec(), makeExit()])
    assert.equal(printed.length, want, args)
    if (want === 1) assert.match(printed.join(''), /^🚀 process web \/bin\/vi /)
  }
})

test('events: a reader that has gone ends the command quietly', async () => {
  const { printed, errors, code } = await shown('', [makeExec(), makeExit(), makeExec()], 1)
  assert.deepEqual([printed.length, errors, code], [1, [], 0])
})

test('events: an address without an agent, and a wrong filter, are explained', async () => {
  using folder = new Folder()
  const nobody = `unix://${folder.at('none.sock')}`
  const message = `no agent listens on ${nobody}: start it with ktrail run, or give its server.grpc with --server`
  await assert.rejects(ktrail(['events', '--server', nobody], new FakeTerminal()), { code: 'UNAVAILABLE', message })
  await using rig = await Rig.start()
  await assert.rejects(
    ktrail(['events', '--process', '(', '--server', `unix://${rig.path}`], new FakeTerminal()),
    (error) => error instanceof ClientError && /expected a regular expression/.test(error.message),
  )
})

test(
  'events: a user who may not connect gets a reason',
  { skip: process.geteuid?.() !== 0 && 'needs root' },
  async () => {
    await using rig = await Rig.start()
    // Loads the modules that the command imports.
    await assert.rejects(ktrail(['events', '--server', `unix://${rig.path}.none`], new FakeTerminal()))
    await asNobody(async () => {
      await assert.rejects(ktrail(['events', '--server', `unix://${rig.path}`], new FakeTerminal()), {
        message: `cannot connect to unix://${rig.path}: permission denied; run this as root`,
      })
    })
  },
)

const piped = (input: string, ...args: string[]): string =>
  execFileSync(KTRAIL, ['events', '-', ...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })

test('events: lines of standard input, in both forms and filtered', () => {
  assert.equal(piped(golden('events.jsonl')), golden('events.jsonl'))
  assert.deepEqual(
    piped(golden('events.jsonl'), '-o', 'compact').trimEnd().split('\n'),
    withoutLosses(lines('events.compact')),
  )
  const exits = lines('events.jsonl').filter((line) => /process_exit|rate_limit/.test(line))
  assert.deepEqual(piped(golden('events.jsonl'), '-e', 'exit').trimEnd().split('\n'), exits)
})

const callOf = (record: Golden): GoldenCall | undefined =>
  record.process_kprobe ?? record.process_lsm ?? record.process_tracepoint

test('events: filtered golden lines of standard input are the golden compact lines of the same events', () => {
  const records = lines('events.jsonl').map((line): Golden => JSON.parse(line))
  // With the lines of its stacks.
  const compact = lines('events.compact')
    .join('\n')
    .split(/\n(?! {3}0x|Kernel:$|User:$)/m)
  assert.equal(records.length, compact.length)
  const processOf = (record: Golden): GoldenProcess | undefined =>
    (record.process_exec ?? record.process_exit ?? callOf(record))?.process
  const rows: ReadonlyArray<readonly [args: string, wants: (record: Golden) => boolean, most: number]> = [
    ['--namespace default', (record) => processOf(record)?.pod?.namespace === 'default', 100],
    ['--pod ^file-', (record) => processOf(record)?.pod !== undefined, 100],
    ['--pod ^ile', () => false, 0],
    ['--host', (record) => processOf(record)?.pod === undefined, 100],
    ['--process /vi$', (record) => processOf(record)?.binary?.endsWith('/vi') === true, 100],
    ['--policy file-monitoring', (record) => callOf(record)?.policy_name === 'file-monitoring', 100],
  ]
  const input = records.map((record) => `${JSON.stringify(record)}\n`).join('')
  for (const [args, wants, most] of rows) {
    const want = withoutLosses(compact.filter((_, i) => wants(records[i] ?? {})))
    assert.ok(want.length <= most && (most <= 1 || want.length > 1), args)
    const text = piped(input, '-o', 'compact', ...args.split(' '))
    assert.equal(text, want.map((line) => `${line}\n`).join(''), args)
  }
})

test('events: files, compressed ones too, in the given order; - is standard input', async () => {
  using folder = new Folder()
  const all = lines('events.jsonl')
  const half = all.length >> 1
  const text = (part: readonly string[]): string => part.map((line) => `${line}\n`).join('')
  writeFileSync(folder.at('old.jsonl.gz'), gzipSync(text(all.slice(0, half))))
  writeFileSync(folder.at('new.jsonl'), text(all.slice(half)))
  const files = [folder.at('old.jsonl.gz'), folder.at('new.jsonl')]
  const read = async (...args: string[]): Promise<string> => {
    const terminal = new FakeTerminal()
    assert.equal(await ktrail(['events', ...args], terminal), 0)
    return terminal.printed.join('')
  }
  assert.equal(await read(...files), golden('events.jsonl'))
  assert.equal(
    piped(text(all.slice(half)), folder.at('old.jsonl.gz')),
    text([...all.slice(half), ...all.slice(0, half)]),
  )
  assert.equal(await read('--tail', '3', ...files), text(all.slice(-3)))
  assert.equal(await read('--tail', '99999', ...files), golden('events.jsonl'))
  const timeOf = (line: string): number => Date.parse(JSON.parse(line).time ?? '9999')
  const times = all.map(timeOf).toSorted((a, b) => a - b)
  const since = new Date(times[half] ?? 0).toISOString()
  const later = all.filter((line) => timeOf(line) >= Date.parse(since))
  assert.ok(later.length > 0 && later.length < all.length)
  assert.equal(await read('--since', since, ...files), text(later))
  for (const [file, why] of [
    [folder.at('none'), /no such file/],
    [folder.path, /it is a folder/],
  ] as const)
    await assert.rejects(ktrail(['events', file], new FakeTerminal()), why)
  writeFileSync(folder.at('cut.gz'), gzipSync(text(all)).subarray(0, 500))
  await assert.rejects(ktrail(['events', folder.at('cut.gz')], new FakeTerminal()), /cannot read ".*cut\.gz": /)
})

test('events: the last lines are bounded in bytes', () => {
  const tail = new Tail(1000)
  for (let i = 0; i < 30; i++) tail.add(Buffer.alloc(10 << 20, i))
  assert.deepEqual(
    tail.lines.map((line) => line[0]),
    [24, 25, 26, 27, 28, 29],
  )
  assert.equal(tail.cut, true)
})

test('events: without a file or -, standard input is not read: under ssh and cron it is a pipe, too', async () => {
  for (const stdin of ['pipe', 'ignore'] as const) {
    // No agent runs on the host of the unit tests.
    const child = spawn(KTRAIL, ['events'], { stdio: [stdin, 'pipe', 'pipe'], timeout: 60_000 })
    child.stdin?.on('error', () => {})
    child.stdin?.end(golden('events.jsonl'))
    let [out, err] = ['', '']
    child.stdout?.on('data', (text: Buffer) => (out += text.toString()))
    child.stderr?.on('data', (text: Buffer) => (err += text.toString()))
    const [code] = await once(child, 'close')
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /no agent listens on/)
  }
})

test('events: a command whose reader has gone ends quietly', async () => {
  const child = spawn(KTRAIL, ['events', '-'], { stdio: ['pipe', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
  child.stdin.on('error', () => {})
  child.stdout.once('data', () => child.stdout.destroy())
  const text = golden('events.jsonl').repeat(2000)
  child.stdin.end(text)
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  // A slow reader may go after some records of losses.
  assert.match(stderr, /^(?:ktrail: [\d,]+ events lost here\n)*$/)
})

test('events: garbage, unknown keys, a pod, and lines of any length and cut', async () => {
  const event =
    '{"process_exec":{"process":{"binary":"/b","pod":{"namespace":"kube-system","name":"web"}},"new":1},"node_name":"n"}'
  const huge = `{"process_exec":{"process":{"arguments":"${'x'.repeat(11 << 20)}"}}}`
  const skipped = { lines: 0 }
  async function* input(): AsyncGenerator<Buffer> {
    const bytes = Buffer.from(`${event}\r\n\n{"process_ex\n[1]\n${huge}\n${event}\n${event}`)
    for (let at = 0; at < bytes.length; at += 65_537) yield bytes.subarray(at, at + 65_537)
  }
  const got: string[] = []
  for await (const message of eventsOf(input(), create(GetEventsRequestSchema), skipped))
    got.push(message.event.case ?? '')
  assert.deepEqual([got, skipped.lines], [['processExec', 'processExec', 'processExec'], 3])
  assert.equal(piped(`${event}\n`, '-o', 'compact'), '🚀 process kube-system/web /b \n')
})

test('events: events of kinds that ktrail does not make are printed as JSON and left out of compact lines', () => {
  const loader = '{"process_loader":{"process":{"pid":1},"path":"/f"},"node_name":"n"}\n'
  assert.equal(piped(loader), loader)
  assert.equal(piped(loader, '-o', 'compact'), '')
  assert.equal(piped(loader, '-e', 'exec'), '')
})

test('events: losses of this client are reported where they happened', async () => {
  const events = [makeExec({ process: makeProcess() }), makeLoss({ count: 1 })]
  assert.deepEqual((await shown('-o compact', events)).errors, [
    'ktrail: 1 event lost here',
    'ktrail: the agent has stopped',
  ])
})
