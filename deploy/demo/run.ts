/**
 * Runs the demo and shows it: steps with their seconds, the events, a summary. Long lines are cut at the terminal's width.
 *
 *   node deploy/demo/run.ts KERNEL COMMAND ARGUMENT...
 *
 * COMMAND runs deploy/demo/demo.sh, here or in a guest. Lines of its output that begin with @ say how far it is.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { clearTimeout, setInterval } from 'node:timers'
import { denied, summary } from './summary.ts'
import { ansi, cut, runs } from './terminal.ts'

const EVENTS = 'build/demo/events.jsonl'
const METRICS = 'build/demo/metrics'
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'

const [kernel = '', command = '', ...args] = process.argv.slice(2)
const { isTTY: onTerminal = false, columns = 80 } = process.stdout
const started = performance.now()

/** The line of the running step; on a terminal it turns until the step has ended. */
class Step {
  readonly #text: string
  readonly #startedMs = performance.now()
  readonly #timer: NodeJS.Timeout | undefined
  #frame = 0

  constructor(text: string) {
    this.#text = text
    if (onTerminal) this.#timer = setInterval(() => this.#draw(FRAMES[this.#frame++ % FRAMES.length] ?? ''), 100)
  }

  #draw(mark: string): void {
    const seconds = Math.round((performance.now() - this.#startedMs) / 1000)
    process.stdout.write(`\r\x1b[K${this.#text} ${mark} ${seconds} s`)
  }

  end(): void {
    clearTimeout(this.#timer)
    if (onTerminal) this.#draw('✓')
    else process.stdout.write(this.#text)
    process.stdout.write('\n')
  }

  /** Marks the step as failed. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    if (onTerminal) process.stdout.write('\r\x1b[K')
    process.stdout.write(`${this.#text} failed\n`)
  }
}

let step: Step | undefined = new Step(`[2/4] ${kernel}`)
/** Between a step's heading and the summary events are shown; before, lines are kept for a failure. */
let showing = false
const kept: string[] = []
let deniedSeen = 0

const heading = (text: string): void => console.log(onTerminal ? `\x1b[1m${text}\x1b[0m` : text)

/** Handles a line that the demo printed. */
function handle(line: string): void {
  const [, word, rest = ''] = /^@ (\w+) ?(.*)$/.exec(line) ?? []
  if (word === undefined) {
    if (showing) console.log(onTerminal ? ansi(cut(runs(line), columns)) : line)
    else kept.push(line)
    return
  }
  tellDenied()
  if (word === 'agent') {
    step?.end()
    step = new Step('[3/4] the agent attaches its policies')
  } else if (word === 'ready') {
    step?.end()
    step = undefined
    console.log('[4/4] who reads, writes, maps or truncates files under /etc?')
  } else if (word === 'step') {
    showing = true
    heading(`--- ${rest}`)
  } else if (word === 'done') {
    showing = false
  } else if (word === 'end') {
    console.log()
    console.log(summary(readFileSync(EVENTS, 'utf8'), readFileSync(METRICS, 'utf8'), performance.now() - started))
  }
}

/** Refused accesses of the step that has just ended. */
function tellDenied(): void {
  if (!showing) return
  const lines = denied(readFileSync(EVENTS, 'utf8'))
  for (const line of lines.slice(deniedSeen)) console.log(onTerminal ? `\x1b[31m${line}\x1b[0m` : line)
  deniedSeen = lines.length
}

const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
createInterface(child.stderr).on('line', (line) => kept.push(line))
createInterface(child.stdout).on('line', handle)
child.on('error', (error) => kept.push(String(error)))
child.on('close', (code) => {
  if (code === 0) return
  step?.[Symbol.dispose]()
  for (const line of kept) console.error(line)
  process.exitCode = code ?? 1
})
// The terminal sends SIGINT to the whole group: the demo ends, then this process.
process.on('SIGINT', () => {})
