/**
 * A real agent under test: its own process (`./ktrail run`), its files in a fresh folder of the guest's tmpfs.
 *
 *   await using agent = await TestAgent.start()
 *   await agent.apply('mine', policy('mine', [fileHook([path('Prefix', '/tmp/x/')])]))
 *   const lines = await agent.during(() => execFileSync('cat', ['/tmp/x/y']))
 *
 * Lines have the order of the ring, but others pass an event that waits for its pod, container, hash or stack
 * (docs/explanation/guarantees.md, Order). `during` and `settled` rely on that. They run a program with a mark of its own and wait for its
 * exit record. Where events can be held, they wait until none is. Then the file has everything that happened before: a missing line means
 * that there was no event. This does not hold for policies with hashes or stacks, aggregated events, and calls that have not returned.
 */
import { execFile, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Program } from '../../support/kernel/host-agent.ts'
import { launchOf } from '../../support/launcher.ts'
import { listeningPorts, Sigusr1 } from '../../support/sigusr1.ts'
import { LineFile } from './line-file.ts'
import { MetricsPage } from './metrics.ts'
import { processOf } from './record.ts'
import type { Line } from './record.ts'
import { until } from './wait.ts'

/** Time for which the agent serves the same page. */
const PAGE_MS = 1_000
const KTRAIL = fileURLToPath(new URL('../../../ktrail', import.meta.url))
const MAIN = fileURLToPath(new URL('../../../collector/main.ts', import.meta.url))
const HOST_AGENT = fileURLToPath(new URL('../../support/kernel/host-agent.ts', import.meta.url))
/** Gives the rest of the command a folder /run/ktrail of its own, beside those of other agents on this host. As the launcher, it ignores SIGUSR1. */
const OWN_RUN = 'trap "" USR1; mkdir -p /run/ktrail && mount -t tmpfs -o mode=755 ktrail /run/ktrail && exec "$0" "$@"'

/** Why an agent cannot run here; false if it can. For `test(name, { skip: cannotRun() })`. */
export function cannotRun(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!existsSync('/sys/bus/event_source/devices/kprobe/type')) return 'this kernel has no kprobes: run in a guest'
  return false
}

/** Why an agent on a kernel that plays records cannot run here; false if it can. */
export function cannotReplay(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', OWN_RUN, 'true'], { encoding: 'utf8' })
  return status === 0 ? false : `no tmpfs can be mounted in a namespace here: ${stderr.trim()}`
}

/** A fresh folder in the guest's tmpfs; the caller may remove it, else it ends with the guest. */
export function freshFolder(name: string): string {
  return mkdtempSync(join(process.env['KTRAIL_TMP'] ?? tmpdir(), `ktrail-${name}-`))
}

/** A fresh folder on this host, removed at the test's end. */
export function hostFolder(name: string): string {
  const folder = freshFolder(name)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface AgentOptions {
  /** Policy files that exist at the start: file name → text. */
  readonly policies?: Readonly<Record<string, string>>
  /** Policy files and folders beside the watched one, as in the config. */
  readonly paths?: readonly string[]
  /** Top-level keys of the config that replace the test's own (policies, server, exporters, log). */
  readonly config?: Readonly<Record<string, unknown>>
  /** A config file of which the agent runs a copy; the test's own keys are merged into it by a drop-in file. */
  readonly base?: string
  /** Exporters beside the JSON file `archive`. */
  readonly exporters?: Readonly<Record<string, unknown>>
  /** Keys of the file exporter that replace the test's own. */
  readonly archive?: Readonly<Record<string, unknown>>
  /** Variables beside this process's. */
  readonly env?: Readonly<Record<string, string>>
  /** The limit on open files, soft and hard, that the agent starts with; this process's own when absent. */
  readonly openFiles?: number | undefined
  /** How long it may take to attach its policies; default 120 s. */
  readonly readyMs?: number
  /** A module that Node loads before the agent; started without the launcher, which allows none. */
  readonly module?: string
  /** On a kernel that plays the programs of `runs`, on any host (test/support/kernel/host-agent.ts). */
  readonly replayed?: boolean
  /** More words of `ktrail run`. */
  readonly flags?: readonly string[]
  /** A replayed agent on whose host this one starts, to take over; its stream is of real times. */
  readonly takesOver?: TestAgent
  /** Called when the process has been started, long before it is ready. */
  readonly onStarted?: (agent: TestAgent) => void
  /** Sends SIGUSR1 every 10 ms until the agent is ready. */
  readonly sigusr1?: boolean
  /** All capabilities that the agent starts with, as setpriv names them: `+bpf,+perfmon`; this process's own when absent. */
  readonly capabilities?: string
  /** The folder of a control group that it starts in. */
  readonly cgroup?: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A line of the agent's own log. */
export interface LogLine {
  readonly level?: number
  readonly msg?: string
  readonly file?: string
  readonly policy?: string
  readonly http?: string
  readonly preemption?: string
  readonly mount?: string
}

type Launch = Pick<AgentOptions, 'openFiles' | 'capabilities' | 'cgroup' | 'module'>

/** The command that starts `ktrail` with these arguments, and with limited files and capabilities, if given. */
function commandLine(
  args: readonly string[],
  { openFiles, capabilities, cgroup, module }: Launch,
  usual: readonly string[] = [KTRAIL],
): [program: string, ...words: string[]] {
  const files = openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}`]
  const rights = capabilities === undefined ? [] : ['setpriv', `--bounding-set=-all,${capabilities}`]
  const inside = cgroup === undefined ? [] : ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup]
  const start = module === undefined ? usual : [process.execPath, ...launchOf().flags, '--import', module, MAIN]
  const [program = KTRAIL, ...words] = [...inside, ...files, ...rights, ...start, ...args]
  return [program, ...words]
}

/** The command that runs an agent with the config that is its last word on a kernel that plays records. */
export const REPLAYED: readonly string[] = ['unshare', '-m', 'sh', '-c', OWN_RUN, process.execPath].concat(
  launchOf().flags,
  HOST_AGENT,
)

interface CommandOptions {
  readonly uid?: number
  readonly ms?: number
  readonly openFiles?: number
  /** Gets each part of stderr at once. */
  readonly onStderr?: (text: string) => void
}

/** Runs `ktrail` with these arguments to its end; for commands and for starts that must fail. */
export function ktrail(
  args: readonly string[],
  { ms = 120_000, openFiles, onStderr = () => {}, ...rest }: CommandOptions = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const [program, ...words] = commandLine(args, { openFiles })
  return new Promise((resolve) => {
    const child = execFile(program, words, { timeout: ms, killSignal: 'SIGKILL', ...rest }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
    child.stderr?.on('data', onStderr)
  })
}

export class TestAgent implements AsyncDisposable {
  /** Holds config.yaml, policies/, events.jsonl, log, stdout; with `base` also config.d/. */
  readonly folder: string
  /** The watched folder. */
  readonly policies: string
  readonly pid: number
  /** Settles when the process has ended. */
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #events: LineFile
  readonly #log: LineFile
  readonly #stdout: LineFile
  readonly #replayed: boolean
  readonly #parsed: Line[] = []
  #url = ''
  #over: Ended | undefined
  #marks = 0
  /** Whether an event may be held while those of other processes pass. */
  readonly #holds: boolean
  /** Time from which on the agent makes /metrics again. */
  #freshMs = 0

  /** Starts an agent and waits until /readyz answers 200. Throws with its log if it ends before. */
  static async start(options: AgentOptions = {}): Promise<TestAgent> {
    const agent = new TestAgent(options)
    options.onStarted?.(agent)
    try {
      using signals = options.sigusr1 === true ? new Sigusr1(agent.pid) : undefined
      await agent.#ready(options.readyMs)
      if (signals?.sent === 0) throw new Error('no SIGUSR1 was sent during the start')
    } catch (error) {
      await agent.kill()
      throw error
    }
    return agent
  }

  private constructor(options: AgentOptions) {
    this.folder = freshFolder('agent')
    const { kubernetes, containers } = options.config ?? {}
    // With `pod_wait: 0s` no event waits.
    this.#holds = JSON.stringify(kubernetes ?? containers)?.includes('"pod_wait":"0s"') === false
    this.policies = join(this.folder, 'policies')
    mkdirSync(this.policies)
    for (const [name, text] of Object.entries(options.policies ?? {})) writeFileSync(join(this.policies, name), text)
    const events = join(this.folder, 'events.jsonl')
    this.#replayed = options.replayed === true
    mkdirSync(join(this.folder, 'proc'))
    const config = {
      policies: [this.policies, ...(options.paths ?? [])],
      // The processes of a replayed kernel are not those of this host.
      ...(this.#replayed ? { procfs: join(this.folder, 'proc') } : {}),
      server: { http: '127.0.0.1:0' },
      state_dir: join(this.folder, 'state'), // guests share the host's /var
      exporters: {
        archive: {
          type: 'file',
          path: events,
          fsync: 'never',
          rotate: { max_size: '1GiB' }, // `events` follows one file
          batch: { max_wait: '20ms' },
          ...options.archive,
        },
        ...options.exporters,
      },
      log: { level: 'debug', format: 'json' },
      ...options.config,
    }
    const configFile = join(this.folder, 'config.yaml')
    if (options.base === undefined) writeFileSync(configFile, JSON.stringify(config))
    else {
      copyFileSync(options.base, configFile)
      mkdirSync(join(this.folder, 'config.d'))
      writeFileSync(join(this.folder, 'config.d', 'test.yaml'), JSON.stringify(config))
    }
    this.#events = new LineFile(events)
    this.#log = new LineFile(join(this.folder, 'log'))
    this.#stdout = new LineFile(join(this.folder, 'stdout'))
    const [out, err] = [openSync(this.#stdout.path, 'a'), openSync(this.#log.path, 'a')]
    const { takesOver } = options
    const beside = ['nsenter', '-m', '-t', `${takesOver?.pid}`, process.execPath, ...launchOf().flags, HOST_AGENT]
    const [program, ...words] = this.#replayed
      ? commandLine([configFile, ...(takesOver ? ['--takeover'] : [])], options, takesOver ? beside : REPLAYED)
      : commandLine(['run', '--config', configFile, ...(options.flags ?? [])], options)
    this.#child = spawn(program, words, {
      stdio: ['ignore', out, err, ...(this.#replayed ? (['ipc'] as const) : [])],
      env: { ...process.env, ...options.env },
    })
    closeSync(out)
    closeSync(err)
    this.pid = this.#child.pid ?? 0
    this.ended = new Promise((resolve) => {
      this.#child.on('exit', (code, signal) => resolve((this.#over = { code, signal })))
    })
  }

  async #ready(ms?: number): Promise<void> {
    const { http } = await this.until('the log line "ready"', () => this.log().find(({ msg }) => msg === 'ready'), ms)
    if (http !== undefined) await this.pagesAt(http)
  }

  /** Sets the address of its pages, for an agent that was started while another program had the address. */
  async pagesAt(http: string): Promise<void> {
    this.#url = `http://${http}`
    const ok = (): Promise<boolean> =>
      fetch(`${this.#url}/readyz`).then(
        (answer) => answer.ok,
        () => false,
      )
    await this.until(`200 from /readyz at ${http}`, ok)
  }

  /** `until`, but fails at once if the agent ends, and shows the end of its log. */
  until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, ms?: number): Promise<T> {
    const more = (): string => {
      const log = this.#log.read().slice(-10).join('\n')
      return `\n${this.#events.read().length} lines in ${this.#events.path}; end of the agent's log:\n${log}`
    }
    const alive = async (): Promise<T | undefined | false> => {
      const over = this.#over
      const found = await look()
      if ((found === undefined || found === false) && over !== undefined)
        throw new Error(`the agent ended (${over.code ?? over.signal}) while waiting for: ${what}${more()}`)
      return found
    }
    return until(what, alive, { more, ...(ms === undefined ? {} : { ms }) })
  }

  /** Every line of the file so far, parsed. */
  lines(): readonly Line[] {
    const texts = this.#events.read()
    for (let i = this.#parsed.length; i < texts.length; i++) this.#parsed.push(JSON.parse(texts[i] ?? ''))
    return this.#parsed
  }

  /** Every line of the file so far. */
  texts(): readonly string[] {
    return this.#events.read()
  }

  /** Lines on the agent's standard output so far. */
  stdout(): readonly string[] {
    return this.#stdout.read()
  }

  /** The agent's own log so far; a line that is not JSON comes as `msg`. */
  log(): LogLine[] {
    return this.#log.read().map((text): LogLine => (text.startsWith('{') ? JSON.parse(text) : { msg: text }))
  }

  /** A program that starts, reads these files, and ends, on a replayed kernel. Resolves when its records are in the ring. */
  runs(words: readonly string[], ...reads: readonly string[]): Promise<void> {
    const message: Program = { words, reads }
    return new Promise((resolve) => {
      this.#child.once('message', () => resolve())
      this.#child.send(message)
    })
  }

  /** Waits until everything that happened before this call is in the file; returns the number of lines then. */
  async settled(): Promise<number> {
    const at = await this.#marked()
    if (!this.#holds) return at
    await this.until('held events', async () => (await this.metrics()).sum('ktrail_enrichment_waiting_events') === 0)
    // A held event may have come into the file behind the first mark.
    return this.#marked()
  }

  /** Runs a program with a mark and waits for the record of its exit; returns the number of lines then. */
  async #marked(): Promise<number> {
    const mark = `ktrail-mark-${process.pid}-${this.#marks++}`
    if (this.#replayed) await this.runs(['/bin/true', mark])
    else {
      await new Promise<void>((resolve, reject) =>
        execFile('/bin/true', [mark], (error) => (error === null ? resolve() : reject(error))),
      )
    }
    const before = this.#parsed.length
    return this.until(`the exit of the program with the argument ${mark}`, () => {
      const at = this.lines().findIndex(
        (line, i) => i >= before && line.process_exit !== undefined && processOf(line).arguments === mark,
      )
      return at === -1 ? undefined : at + 1
    })
  }

  /**
   * Lines of what happened during `action`, waiting until all have arrived. Left out are marks, changes of policies, and threads of
   * the kernel (`[kworker/…]`), which come and go by themselves.
   */
  async during(action: () => unknown): Promise<Line[]> {
    const from = await this.settled()
    await action()
    const to = await this.settled()
    return this.lines()
      .slice(from, to)
      .filter((line) => {
        if (line.agent_change !== undefined) return false
        const { arguments: words, binary } = processOf(line)
        return words?.startsWith('ktrail-mark-') !== true && binary?.startsWith('[') !== true
      })
  }

  /** Adds or replaces a policy file atomically, by a rename, and waits until it is effective or refused. */
  async apply(name: string, text: string): Promise<'added' | 'replaced' | 'refused'> {
    const file = join(this.policies, `${name}.yaml`)
    const from = this.#log.read().length
    writeFileSync(`${this.folder}/new`, text)
    renameSync(`${this.folder}/new`, file)
    return this.until(`the policy file ${file} to be added, replaced or refused`, () => this.#outcomeOf(file, from))
  }

  /** Removes a policy file and waits until it is no longer effective. */
  async withdraw(name: string): Promise<void> {
    const file = join(this.policies, `${name}.yaml`)
    const from = this.#log.read().length
    rmSync(file)
    await this.until(`the policy of ${file} to be removed`, () =>
      this.log()
        .slice(from)
        .some((line) => line.file === file && line.msg === 'policy removed'),
    )
  }

  #outcomeOf(file: string, from: number): 'added' | 'replaced' | 'refused' | undefined {
    for (const { file: about, msg } of this.log().slice(from)) {
      const word = /^policy (added|replaced|refused)/.exec(msg ?? '')?.[1]
      if (about === file && (word === 'added' || word === 'replaced' || word === 'refused')) return word
    }
    return undefined
  }

  /** The address of its pages. */
  get port(): string {
    return new URL(this.#url).port
  }

  /** GET of one of the agent's pages, such as `/readyz`. */
  get(page: string, signal: AbortSignal | null = null): Promise<Response> {
    return fetch(this.#url + page, { signal })
  }

  /** A page made after this call: the agent makes it at most once a second, and serves the same one in between. */
  async metrics(): Promise<MetricsPage> {
    await setTimeout(Math.max(0, this.#freshMs - performance.now()))
    const page = await (await this.get('/metrics')).text()
    this.#freshMs = performance.now() + PAGE_MS
    return new MetricsPage(page)
  }

  /** SIGTERM, and waits for the end; the file is complete then. */
  async stop(): Promise<Ended> {
    if (this.#over === undefined) this.#child.kill('SIGTERM')
    const ended = await until('the agent to end after SIGTERM', () => this.#over)
    this.lines()
    return ended
  }

  /** SIGKILL, or another signal, and waits for the end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ended> {
    if (this.#over === undefined) this.#child.kill(signal)
    return until(`the agent to end after ${signal}`, () => this.#over)
  }

  /** TCP ports on which it listens. */
  ports(): number[] {
    return listeningPorts(this.pid)
  }

  /** A half line at the end of the event file; '' if there is none. */
  torn(): string {
    this.#events.read()
    return this.#events.torn
  }

  toString(): string {
    return `agent ${this.pid} (${basename(this.folder)})`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
