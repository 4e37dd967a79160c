/**
 * Records docs/pictures/first-minutes.cast: the first commands of a new user in a shell on a terminal, for `asciinema play`. `make minutes` runs
 * it in a guest.
 *
 *   unshare -m node test/support/docs/minutes.ts CAST
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const [COLUMNS, ROWS] = [80, 24]
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const HOME = '/tmp/demo'
/** Longest pause that is replayed. */
const IDLE_S = 2
/** An emulated guest on a busy machine takes minutes for the slowest step. */
const LONGEST_MS = 900_000
/** Colours, and movements of the cursor, by which the questions of `ktrail init` draw themselves. */
// eslint-disable-next-line no-control-regex
const CONTROL = /\x1b\[[\d;?]*[A-Za-z]/g
const PROMPT = /(?:^|\n|\^C)\$ $/

interface Step {
  readonly typed: string
  /** Typed after it, when the command has printed the text. */
  readonly answers?: ReadonlyArray<readonly [after: string, typed: string]>
  /** In another terminal, when the command has printed `after`, or has connected to the agent. */
  readonly meanwhile?: { readonly after: RegExp | 'connected'; readonly run: string }
  /** The step ends when the command has printed this; absent: with the command. */
  readonly until?: RegExp
  /** It stays in the background; else `until` is followed by Ctrl-C. */
  readonly stays?: true
  /** Expected in the output. */
  readonly shows?: RegExp
}

const MISTAKEN = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: shadow }
spec:
  kprobes:
    - call: security_file_permission
      syscall: false
      args: [{ index: 0, type: file }, { index: 1, type: int }]
      selectors:
        - matchArgs: [{ index: 0, operator: Equals, values: [/etc/shadow] }]
`

const STEPS: readonly Step[] = [
  {
    typed: 'sudo ktrail watch secrets',
    meanwhile: { after: /Ctrl-C ends/, run: 'cat secrets/key; echo y >>secrets/key' },
    until: / write .*\/key/,
  },
  { typed: 'sudo ktrail trace --write -- make -s hello', shows: /hello\.o|hello/ },
  { typed: 'ktrail policy library ssh', shows: /ssh-keys/ },
  {
    typed: 'ktrail init',
    answers: [
      ['Policies', ''],
      ['File for events', 'events.jsonl'],
      ['Loki', ''],
      ['OTLP sink', ''],
      ['Kafka', ''],
    ],
    shows: /next: sudo ktrail run/,
  },
  { typed: 'ktrail check shadow.yaml', shows: /Equal\b/ },
  { typed: 'sed -i s/Equals/Equal/ shadow.yaml && ktrail check shadow.yaml', shows: /no mistakes/ },
  { typed: 'sudo ktrail run --config ktrail.yaml &', until: / ready policies=/, stays: true },
  { typed: 'sudo ktrail policy add shadow.yaml', shows: /shadow/ },
  {
    typed: 'sudo ktrail events -o compact',
    meanwhile: { after: 'connected', run: 'head -1 /etc/shadow' },
    until: /head \/etc\/shadow/,
  },
  { typed: 'sudo ktrail status', shows: /ready/ },
  { typed: 'sudo ktrail policy estimate --for 10s library:ssh-keys', shows: /events/ },
]

const [castFile = ''] = process.argv.slice(2)
// The agent keeps its state there.
execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/var/lib'])
for (const folder of ['secrets', '.bin']) mkdirSync(`${HOME}/${folder}`, { recursive: true })
writeFileSync(`${HOME}/secrets/key`, 'x\n')
writeFileSync(`${HOME}/hello.c`, 'int main(void) { return 0; }\n')
writeFileSync(`${HOME}/shadow.yaml`, MISTAKEN)
// The guest's user is root.
writeFileSync(`${HOME}/.bin/sudo`, '#!/bin/sh\nexec "$@"\n', { mode: 0o755 })

const shell = spawn(
  'script',
  ['--quiet', '--flush', '--command', `stty cols ${COLUMNS} rows ${ROWS}; exec dash -i`, '/dev/null'],
  {
    cwd: HOME,
    env: {
      ...process.env,
      HOME,
      PS1: '$ ',
      TERM: 'xterm-256color',
      PATH: `${HOME}/.bin:${ROOT}:${process.env['PATH']}`,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  },
)
const began = performance.now()
const cast: string[] = []
/** Since the latest command was typed. */
let output = ''
shell.stdout.setEncoding('utf8').on('data', (text: string) => {
  output += text.replaceAll(CONTROL, '')
  cast.push(JSON.stringify([Number(((performance.now() - began) / 1000).toFixed(2)), 'o', text]))
})

async function waitFor(text: RegExp, step: string): Promise<void> {
  for (const latest = performance.now() + LONGEST_MS; !text.test(output); await setTimeout(200))
    if (performance.now() > latest || shell.exitCode !== null)
      throw new Error(`${step}: expected ${String(text)} in ${LONGEST_MS / 1000} s, got: ${output}`)
}

async function untilConnected(): Promise<void> {
  const page = async (): Promise<string> => (await fetch('http://127.0.0.1:2112/metrics')).text()
  while (!/^ktrail_api_readers\S* [1-9]/m.test(await page())) await setTimeout(1000)
}

async function play({ typed, answers = [], meanwhile, until, stays, shows }: Step): Promise<void> {
  output = ''
  shell.stdin.write(`${typed}\n`)
  for (const [after, answer] of answers) {
    await waitFor(new RegExp(`${after}.*: $`), typed)
    shell.stdin.write(`${answer}\n`)
  }
  if (meanwhile !== undefined) {
    if (meanwhile.after === 'connected') await untilConnected()
    else await waitFor(meanwhile.after, typed)
    execFileSync('sh', ['-c', meanwhile.run], { cwd: HOME, stdio: 'ignore' })
  }
  if (until !== undefined) {
    await waitFor(until, typed)
    if (stays) return
    shell.stdin.write('\x03')
  }
  await waitFor(PROMPT, typed)
  if (shows?.test(output) === false) throw new Error(`${typed}: expected ${String(shows)}, got: ${output}`)
}

await waitFor(PROMPT, 'the shell')
const header = { version: 2, width: COLUMNS, height: ROWS, idle_time_limit: IDLE_S, title: 'ktrail: the first minutes' }
for (const step of STEPS) {
  await setTimeout(IDLE_S * 1000)
  await play(step)
  writeFileSync(castFile, `${[JSON.stringify(header), ...cast].join('\n')}\n`)
}
process.exit(0)
