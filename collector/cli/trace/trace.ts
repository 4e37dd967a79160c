/** `ktrail trace`: runs a command and prints what it and its descendants did to files. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import { UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { lostIn } from '../events/printer.ts'
import { plural } from '../format.ts'
import { ACCESSES, traceText } from '../watch/policy.ts'
import { watchThrough } from '../watch/through.ts'
import { jsonText, listText, treeText } from './report.ts'
import { Tally } from './tally.ts'

/**
 * Waits until the policy is attached, runs the command, then executes itself: that event comes after all events of the command. A signal of the
 * terminal ends only the command, because an exec resets traps.
 */
const SHELL = `trap : INT TERM QUIT HUP; read -r _ <&3 || exit 1; exec 3<&-; "$@"; exec "$0" -c "exit $?"`
const SHELL_FILE = realpathSync('/bin/sh')
/** The arguments of the shell's last image. Its other images have the files of the command's builtins, and `exec`. */
const LAST = /^-c "?exit \d+"?$/
/** Equal calls are counted for a second before their event comes. */
const SETTLED_MS = 1_500
/** Longest wait for the mark, which can be lost. */
const MARKED_MS = 30_000

export const traceCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('trace requires a command after --')
  const output = given.text('format') ?? 'list'
  const run = new Traced(given.positionals, output === 'json', terminal)
  const watch = {
    policy: (old: boolean) => traceText(run.pid, given.flag('write') ? ['write', 'exec'] : ACCESSES, old),
    limited: false,
    lacks: 'this kernel does not show removed and renamed files',
    opened: (): void => run.begin(),
    events: (messages: AsyncIterable<GetEventsResponse>) => run.read(messages),
    end: run.ended.signal,
    signals: [],
  } as const
  await watchThrough(watch, given, terminal).catch((error: unknown) => {
    if (run.cancel()) throw error
    run.ended.abort()
    terminal.printError(`ktrail: the answer ends here: ${error instanceof Error ? error.message : String(error)}`)
  })
  const code = await run.code
  const tally = given.flag('write') ? run.tally.changes() : run.tally
  if (output === 'json') await terminal.print(jsonText(tally, code))
  else
    for (const line of (output === 'tree' ? treeText : listText)(tally, terminal.columns).trimEnd().split('\n'))
      terminal.printError(line)
  return code
}

class Traced {
  readonly tally = new Tally()
  readonly code: Promise<number>
  /** Aborted when no more events come. */
  readonly ended = new AbortController()
  readonly #child: ChildProcess
  readonly #terminal: Terminal
  #begun = false
  #marked = false
  #lastEvent = 0

  /** `apart`: standard output is for the answer; the command's goes to standard error. */
  constructor(words: readonly string[], apart: boolean, terminal: Terminal) {
    this.#terminal = terminal
    const stdio = ['inherit', apart ? 2 : 'inherit', 'inherit', 'pipe'] as const
    this.#child = spawn('/bin/sh', ['-c', SHELL, '/bin/sh', ...words], { stdio: [...stdio] })
    this.code = once(this.#child, 'exit').then(([code, signal]) =>
      signal === null ? code : 128 + constants.signals[signal as NodeJS.Signals],
    )
    this.code.catch(() => {})
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => this.#interrupted())
  }

  /** While the command runs, the signal is for the command, which gets it, too. */
  #interrupted(): void {
    if (this.cancel()) process.exit(128 + constants.signals.SIGINT)
    if (this.#child.exitCode !== null) this.ended.abort()
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error('cannot start /bin/sh')
    return pid
  }

  begin(): void {
    this.#begun = true
    void this.code.then(() => this.#descendants()).then(() => this.ended.abort())
    const [, , , gate] = this.#child.stdio
    if (gate !== null && gate !== undefined && 'end' in gate) gate.end('\n')
  }

  /** False if the command has begun: it continues. */
  cancel(): boolean {
    if (!this.#begun) this.#child.kill('SIGKILL')
    return !this.#begun
  }

  /** Reads until the command and its descendants have ended. */
  async read(messages: AsyncIterable<GetEventsResponse>): Promise<void> {
    for await (const message of messages) this.#add(message)
    if (!this.ended.signal.aborted) this.#terminal.printError('ktrail: the agent has stopped: the answer ends here')
    this.ended.abort()
  }

  #add(message: GetEventsResponse): void {
    const lost = lostIn(message)
    if (lost > 0n) this.#terminal.printError(`ktrail: ${plural(Number(lost), 'event')} lost: the answer lacks some`)
    const event = toEvent(message)
    if (event?.type !== 'process_kprobe') return
    this.#lastEvent = performance.now()
    if (event.process.pid !== this.pid) this.tally.add(event)
    else if (LAST.test(event.process.arguments)) this.#marked = true
    else if (event.args.some((argument) => argument.kind === 'file' && argument.path === SHELL_FILE)) {
      if (event.hook.functionName === 'security_bprm_check') this.#marked = true
    } else this.tally.add(event)
  }

  /** Resolves when no traced process is left and no event has come for a while. A process is known by its first event. */
  async #descendants(): Promise<void> {
    const latest = performance.now() + MARKED_MS
    let named = false
    for (let quiet = performance.now(); !this.ended.signal.aborted; await setTimeout(100)) {
      const now = performance.now()
      const left = [...this.tally.processes.values()].filter(({ process: { pid } }) => runs(pid))
      if (left.length > 0 || !(this.#marked || now > latest)) quiet = now
      if (now - Math.max(quiet, this.#lastEvent) > SETTLED_MS) return
      if (left.length === 0 || named) continue
      named = true
      const names = left.map(({ process: { binary, pid } }) => `${binary} (pid ${pid})`).join(', ')
      this.#terminal.printError(`ktrail: the command has ended, still running: ${names}`)
    }
  }
}

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
