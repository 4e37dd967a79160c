/**
 * Records docs/pictures/first-minutes.cast: the first commands of a new user, for `asciinema play`. `make minutes` runs it in a guest. Long lines
 * are cut at the terminal's width.
 *
 *   unshare -m node test/support/docs/minutes.ts CAST
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ansi, cut, runs } from '../../../deploy/demo/terminal.ts'

const [COLUMNS, ROWS] = [80, 24]
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** Longest pause that is replayed. */
const IDLE_S = 2
/** An emulated guest takes a minute for the slowest step. */
const LONGEST_MS = 120_000

interface Step {
  readonly typed: string
  /** The command continues until it has printed this. */
  readonly until?: RegExp
  /** Typed in another terminal meanwhile: once, when the command has printed `after`, or again each second without one. */
  readonly meanwhile?: string
  readonly after?: RegExp
  /** It stays in the background. */
  readonly stays?: true
}

const STEPS: readonly Step[] = [
  {
    typed: 'sudo ktrail watch secrets',
    until: / read .*\/key/,
    meanwhile: 'cat secrets/key',
    after: /Ctrl-C ends\n/,
  },
  { typed: 'ktrail init --policies policies --file events.jsonl' },
  { typed: 'ktrail check ktrail.yaml' },
  { typed: 'sudo ktrail run --config ktrail.yaml &', until: /\bready\b/, stays: true },
  { typed: 'sudo ktrail policy list' },
  { typed: 'sudo ktrail events -o compact --policy secrets', until: / read .*\/key/, meanwhile: 'cat secrets/key' },
]

const [castFile = ''] = process.argv.slice(2)
const began = performance.now()
const cast: string[] = []

function show(text: string): void {
  cast.push(JSON.stringify([Number(((performance.now() - began) / 1000).toFixed(2)), 'o', text]))
}

/** Runs a step to its end. */
async function play({ typed, until, meanwhile, after, stays }: Step, folder: string): Promise<void> {
  show(`\x1b[1m$ ${typed}\x1b[0m\r\n`)
  const [program = '', ...words] = typed
    .replace(/^sudo /, '')
    .replace(/ &$/, '')
    .split(' ')
  const child = spawn(program, words, {
    cwd: folder,
    env: { ...process.env, PATH: `${ROOT}:${process.env['PATH']}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let left = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output += data.toString()
      const lines = (left + data.toString()).split('\n')
      left = lines.pop() ?? ''
      if (!isOver()) for (const line of lines) show(`${ansi(cut(runs(line), COLUMNS))}\r\n`)
    })
  let did = false
  let over = false
  const isOver = (): boolean => over
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  if (until === undefined) {
    const code = await ended
    if (left !== '') show(`${left}\r\n`)
    if (code !== 0) throw new Error(`${typed}: expected exit code 0, got ${code}: ${output}`)
    return
  }
  for (const latest = performance.now() + LONGEST_MS; !until.test(output); await setTimeout(1000)) {
    if (performance.now() > latest || child.exitCode !== null)
      throw new Error(`${typed}: expected ${String(until)} in ${LONGEST_MS / 1000} s, got: ${output}`)
    if (meanwhile === undefined || (after !== undefined && (!after.test(output) || did))) continue
    did = true
    execFileSync('sh', ['-c', meanwhile], { cwd: folder, stdio: 'ignore' })
  }
  over = true
  if (stays === true) {
    process.once('exit', () => child.kill())
    return
  }
  show('^C\r\n')
  child.kill('SIGINT')
  await ended
}

// The agent keeps its state there.
execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/var/lib'])
const folder = mkdtempSync('/tmp/first-')
mkdirSync(`${folder}/secrets`)
mkdirSync(`${folder}/policies`)
writeFileSync(`${folder}/secrets/key`, 'x')
const policy = {
  apiVersion: 'cilium.io/v1alpha1',
  kind: 'TracingPolicy',
  metadata: { name: 'secrets' },
  spec: {
    kprobes: [
      {
        call: 'security_file_permission',
        syscall: false,
        args: [
          { index: 0, type: 'file' },
          { index: 1, type: 'int' },
        ],
        selectors: [{ matchArgs: [{ index: 0, operator: 'Prefix', values: [`${folder}/secrets/`] }] }],
      },
    ],
  },
}
writeFileSync(`${folder}/policies/secrets.yaml`, JSON.stringify(policy))
for (const step of STEPS) await play(step, folder)
const header = { version: 2, width: COLUMNS, height: ROWS, idle_time_limit: IDLE_S, title: 'ktrail: the first minutes' }
writeFileSync(castFile, `${[JSON.stringify(header), ...cast].join('\n')}\n`)
process.exit(0)
