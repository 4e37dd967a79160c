/**
 * Policies in the kernel without an agent around them, and their reports. Only this file of the tests depends on how
 * policies are loaded and events are read.
 */
import { parsePolicy } from '../../../config/policy/parse.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { Argument, HookEvent, ProcessEvent } from '../../../exporters/contract/event.ts'
import { atLeast } from '../../../collector/plan/facts.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import type { KernelFacts } from '../../../collector/plan/facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import type { AttachMode } from '../../../collector/plan/plan.ts'
import type { LoadedPolicy } from '../../../collector/plan/plan.ts'
import { decodeChunk } from '../../../collector/wire/decode.ts'
import { EVENT_HEADER } from '../../../collector/wire/wire.ts'
import { HookRegistry } from '../../../collector/ingest/hooks.ts'
import { Normalizer } from '../../../collector/ingest/normalize.ts'
import { PendingReturns } from '../../../collector/ingest/returns.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { ProcessTable } from '../../../collector/process/table.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { clockOffset, kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { policyText } from './documents.ts'
import type { PolicyDocument } from './documents.ts'
import { shownSocket } from './evaluator.ts'
import type { Report } from './evaluator.ts'

const CHUNK_BYTES = 1 << 20

/** Calls of which a policy reported the same. */
export interface Counted {
  readonly policy: string
  readonly report: Report
  calls: number
}

/** Everything the ring has is given to it once `read` is called; policies see no call of this process. */
export class LoadedKernel implements Disposable {
  readonly #kernel: KernelSide
  readonly #chunk = Buffer.alloc(CHUNK_BYTES)
  readonly #clock = new WallClock(clockOffset)
  readonly #table = new ProcessTable('test', this.#clock, 128 << 20)
  #hooks = new HookRegistry()
  readonly #normalizer = new Normalizer({
    table: this.#table,
    clock: this.#clock,
    hook: (id, selector) => this.#hooks.take(id, selector),
    nowMs: () => performance.now(),
  })

  readonly #returns = new PendingReturns()
  readonly #selectors = new WeakMap<ProcessEvent, number>()

  /** Whether policies can distinguish files by identity. */
  readonly tellsFiles: boolean
  /** Whether a call that is judged at its return gets all its signals, not one. */
  readonly signalsAtReturns: boolean

  private constructor(kernel: KernelSide, facts: KernelFacts) {
    this.#kernel = kernel
    this.tellsFiles = facts.loops
    this.signalsAtReturns = atLeast(facts, 5, 11)
  }

  static async open(mode: AttachMode | 'auto', ringBytes: number): Promise<LoadedKernel> {
    const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
    const watermarkBytes = ringBytes >> 1
    const kernel = await KernelSide.open({
      facts,
      workloads: new Workloads(undefined),
      mode,
      ringBytes,
      watermarkBytes,
      agentPid: process.pid,
    })
    for (const { pid, startNs, parentPid } of await scanProcfs('/proc')) kernel.seedProcess(pid, startNs, parentPid)
    kernel.seedImages()
    return new LoadedKernel(kernel, facts)
  }

  /** Loads the policies; disposing the result removes them. Call it when those before are removed. */
  async load(policies: readonly PolicyDocument[]): Promise<AsyncDisposable> {
    this.#hooks = new HookRegistry()
    const loaded = await this.change([], policies)
    return { [Symbol.asyncDispose]: async () => void (await this.change(loaded, [])) }
  }

  /** Removes policies and adds others, in one step; returns these. */
  async change(remove: readonly LoadedPolicy[], add: readonly PolicyDocument[]): Promise<LoadedPolicy[]> {
    const parsed = add.map((document) => {
      const result = parsePolicy(policyText(document), document.name)
      if ('problems' in result) throw new Error(result.problems.map(formatProblem).join('\n'))
      return result.policy
    })
    return this.#kernel.policies.change(remove, parsed, (hooks) => {
      for (const { hook, spec } of hooks) this.#hooks.add(hook, spec)
    })
  }

  /** Reads the ring until it is empty: calls `each` for the events of some processes, in their order. */
  read(pids: readonly number[], each: (event: HookEvent, selector: number) => void): void {
    for (;;) {
      const length = this.#kernel.ring.read(this.#chunk)
      const ready: ProcessEvent[] = []
      this.#returns.report(this.#kernel.policies.takeEnds())
      if (length === 0) this.#returns.endReported(ready)
      const malformed = decodeChunk({ bytes: this.#chunk, length }, (raw, bytes) => {
        if (raw.op === 'return') {
          this.#returns.end(raw, ready)
          return
        }
        const event = this.#normalizer.event(raw, bytes)
        if (raw.op !== 'hook' || !pids.includes(raw.tgid)) return
        if (event?.type !== 'process_kprobe') throw new Error(`a record of an unknown hook ${raw.hookId}`)
        this.#selectors.set(event, raw.selector)
        this.#returns.add(raw, event, this.#hooks.returnOf(raw.hookId, raw.selector), ready)
      })
      for (const event of ready) {
        if (event.type === 'process_kprobe') each(event, this.#selectors.get(event) ?? 0)
      }
      if (length === 0) return
      if (malformed > 0) throw new Error(`${malformed} malformed records`)
      this.#table.trim()
      this.#table.sweep(performance.now())
    }
  }

  /**
   * Reads the ring until it is empty, and counts the calls of a process in `counts`. Records with equal bytes from the hook's
   * id on are decoded once: millions of calls take minutes instead of hours. For hooks that report no return value.
   */
  count(pid: number, counts: Map<string, Counted>): void {
    for (let length; (length = this.#kernel.ring.read(this.#chunk)) > 0;) {
      const malformed = decodeChunk({ bytes: this.#chunk, length }, (raw, bytes) => {
        if (raw.op === 'return') throw new Error('a return, which count() does not expect')
        if (raw.op !== 'hook' || raw.tgid !== pid) return void this.#normalizer.event(raw, bytes)
        const end = raw.at + bytes.readUInt32LE(raw.at + EVENT_HEADER.size)
        const key = bytes.toString('latin1', raw.at + EVENT_HEADER.hookId, end)
        const known = counts.get(key)
        if (known !== undefined) return void known.calls++
        const event = this.#normalizer.event(raw, bytes)
        if (event?.type !== 'process_kprobe') throw new Error(`a record of an unknown hook ${raw.hookId}`)
        counts.set(key, { policy: event.hook.policy, report: reported(event, raw.selector), calls: 1 })
      })
      if (malformed > 0) throw new Error(`${malformed} malformed records`)
      this.#table.trim()
      this.#table.sweep(performance.now())
    }
  }

  /** Counters that are not 0, so far. */
  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.#kernel.counts().counters).filter(([, count]) => count > 0))
  }

  /** Counters of lost events, and runs that the kernel skipped, by function. */
  losses(): Readonly<Record<string, number>> {
    const counters = Object.entries(this.counters()).filter(([name]) => !name.startsWith('path_'))
    const missed = [...this.#kernel.counts().functions].map(([name, runs]) => [name, runs.missed] as const)
    return Object.fromEntries([...counters, ...missed].filter(([, count]) => count > 0))
  }

  [Symbol.dispose](): void {
    this.#kernel[Symbol.dispose]()
  }
}

const exact = (text: string, raw: Uint8Array | undefined): string => Buffer.from(raw ?? text).toString('latin1')

function shown(argument: Argument): string {
  switch (argument.kind) {
    case 'file': {
      const marks = `${argument.unresolved ? ' [unresolved]' : ''}${argument.unstable ? ' [unstable]' : ''}`
      return `${argument.field} ${exact(argument.path, argument.raw)}${marks}`
    }
    case 'string':
      return `${argument.field} ${exact(argument.value, argument.raw)}${argument.truncated ? ' [truncated]' : ''}`
    case 'error':
      return argument.field
    case 'bytes':
      return `${argument.field} ${Buffer.from(argument.value).toString('base64')} of ${argument.size}`
    case 'struct':
      return `${argument.field} ${shownMembers(Object.fromEntries(argument.members))}`
    default:
      return `${argument.field} ${argument.value}`
  }
}

/** Text of a socket or an address. Records leave out members that are 0 or empty. */
function shownMembers(members: Readonly<Record<string, unknown>>): string {
  const text = (...keys: readonly string[]): string =>
    String(keys.map((key) => members[key]).find((value) => value !== undefined) ?? '')
  const port = (...keys: readonly string[]): number => Number(text(...keys) || 0)
  return shownSocket({
    family: text('family'),
    source: text('saddr', 'addr'),
    destination: text('daddr'),
    sourcePort: port('sport', 'port'),
    destinationPort: port('dport'),
  })
}

/** An event in the form of `predicted`. */
export function reported(event: HookEvent, selector: number): Report {
  const { args, data = [], returned, hook } = event
  return {
    selector,
    args: args.map(shown),
    data: data.map(shown),
    returned: returned === undefined ? '' : shown(returned),
    action: hook.action,
  }
}
