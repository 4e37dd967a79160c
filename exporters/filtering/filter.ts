/**
 * Selects the events of an exporter. Results are cached by the event's kind if that decides, else by process: a regular
 * expression runs once per process instead of once per event.
 */
import { isAboutAgent, isHookEvent } from '../contract/event.ts'
import type { Event, Hook, Process, ProcessEvent } from '../contract/event.ts'
import { conditionsOf } from './conditions.ts'
import type { Condition, Kind, ProcessLookup, ReaderFilter } from './conditions.ts'

export interface EventFilter {
  accepts(event: Event): boolean
  /** Events not accepted so far, by the config key of the failed condition. */
  readonly filtered: Readonly<Record<string, number>>
}

/** Index of the failed condition, ACCEPTED, or BY_PROCESS if it depends on the process. */
type Verdict = number
const ACCEPTED = -1
const BY_PROCESS = -2

interface KnownKind extends Kind {
  readonly index: number
  readonly verdict: Verdict
}

const NO_HOOK = { policy: '', tags: [] }

/** Approximate memory of a KnownProcess with its map entry. */
const KNOWN_BYTES = 250

/** The verdicts for a process, by index of the kind. */
interface KnownProcess {
  readonly parent: Process | undefined
  readonly verdicts: Verdict[]
}

/**
 * Throws ExportError UNUSABLE for a filter that the config would refuse. `lookup`: finds ancestors, for the keys of live readers that ask for
 * them.
 */
export function createFilter(filter: ReaderFilter, lookup: ProcessLookup = () => undefined): EventFilter {
  return new Filter(conditionsOf(filter, lookup))
}

class Filter implements EventFilter {
  readonly #conditions: readonly Condition[]
  readonly #counts: number[]
  readonly #kinds = new Map<string, KnownKind>()
  readonly #hooks = new WeakMap<Hook, KnownKind>()
  /** By `Rendered.key`. */
  readonly #processes = new WeakMap<object, KnownProcess>()
  // Consecutive events often have the same hook and process.
  #lastHook: Hook | undefined
  #lastKind: KnownKind | undefined
  #lastProcess: Process | undefined
  #lastKnown: KnownProcess | undefined

  constructor(conditions: readonly Condition[]) {
    this.#conditions = conditions
    this.#counts = conditions.map(() => 0)
  }

  accepts(event: Event): boolean {
    // Loss records count lost events that the filter accepted, so they always pass, as those about the run and about changes.
    if (isAboutAgent(event)) return true
    const verdict = this.#verdict(event)
    if (verdict === ACCEPTED) return true
    this.#counts[verdict] = (this.#counts[verdict] ?? 0) + 1
    return false
  }

  get filtered(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#conditions.map(({ key }, i) => [key, this.#counts[i] ?? 0]))
  }

  #verdict(event: ProcessEvent): Verdict {
    const kind = isHookEvent(event) ? this.#hookKind(event, event.hook) : this.#kind(event, NO_HOOK)
    if (kind.verdict !== BY_PROCESS) return kind.verdict
    const { verdicts } = this.#known(event.process, event.parent)
    return (verdicts[kind.index] ??= this.#decide(kind, event))
  }

  #hookKind(event: ProcessEvent, hook: Hook): KnownKind {
    if (hook === this.#lastHook && this.#lastKind !== undefined) return this.#lastKind
    let kind = this.#hooks.get(hook)
    if (kind === undefined) this.#hooks.set(hook, (kind = this.#kind(event, hook)))
    this.#lastHook = hook
    this.#lastKind = kind
    return kind
  }

  #kind(event: ProcessEvent, { policy, tags }: Pick<Hook, 'policy' | 'tags'>): KnownKind {
    const { type } = event
    const key = policy === '' ? type : JSON.stringify([type, policy, tags])
    const known = this.#kinds.get(key)
    if (known !== undefined) return known
    const kind = { type, policy, tags }
    const made = { ...kind, index: this.#kinds.size, verdict: this.#ofKind(kind, event) }
    this.#kinds.set(key, made)
    return made
  }

  /** `event` is any event of the kind. */
  #ofKind(kind: Kind, { process, parent }: ProcessEvent): Verdict {
    const failed = this.#conditions.findIndex(({ byKind, test }) => byKind && !test(kind, process, parent))
    return failed < 0 && this.#conditions.some(({ byKind }) => !byKind) ? BY_PROCESS : failed
  }

  #known(process: Process, parent: Process | undefined): KnownProcess {
    const last = this.#lastKnown
    if (process === this.#lastProcess && last !== undefined && last.parent === parent) return last
    const rendered = process.rendered.touch()
    let known = this.#processes.get(rendered.key)
    // The parent may have changed by an exec.
    if (known === undefined || known.parent !== parent) {
      rendered.charge(KNOWN_BYTES)
      this.#processes.set(rendered.key, (known = { parent, verdicts: [] }))
    }
    this.#lastProcess = process
    this.#lastKnown = known
    return known
  }

  #decide(kind: Kind, { process, parent }: ProcessEvent): Verdict {
    return this.#conditions.findIndex(({ test }) => !test(kind, process, parent))
  }
}
