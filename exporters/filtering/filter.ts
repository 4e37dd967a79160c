/**
 * Which events an exporter gets. Nothing is computed twice: an answer stands with the kind of the event where that decides,
 * else with its process, so that a regular expression runs once for a process and not for each of its events.
 */
import type { Event, Hook, Process, ProcessEvent } from '../contract/event.ts'
import type { FilterConfig } from '../../config/agent/schema.ts'
import { conditionsOf } from './conditions.ts'
import type { Condition, Kind } from './conditions.ts'
import { touch } from '../encoding/kept.ts'

export interface EventFilter {
  accepts(event: Event): boolean
  /** Events that were not accepted so far, by the key of the config that said no. */
  readonly filtered: Readonly<Record<string, number>>
}

/** Index of the condition that says no, ACCEPTED, or that the process must be asked. */
type Verdict = number
const ACCEPTED = -1
const BY_PROCESS = -2

interface KnownKind extends Kind {
  readonly index: number
  readonly verdict: Verdict
}

/** About what a KnownProcess weighs, with its place in the map. */
const KNOWN_BYTES = 250

/** What was decided for a process, by index of the kind. */
interface KnownProcess {
  readonly parent: Process | undefined
  readonly verdicts: Verdict[]
}

/** Makes a filter from the config's. Throws ExportError UNUSABLE for what the config would have refused. */
export function createFilter(filter: FilterConfig): EventFilter {
  return new Filter(conditionsOf(filter))
}

class Filter implements EventFilter {
  readonly #conditions: readonly Condition[]
  readonly #counts: number[]
  readonly #kinds = new Map<string, KnownKind>()
  readonly #hooks = new WeakMap<Hook, KnownKind>()
  /** By `Rendered.key`. */
  readonly #processes = new WeakMap<object, KnownProcess>()
  // Events come in runs of one hook and one process.
  #lastHook: Hook | undefined
  #lastKind: KnownKind | undefined
  #lastProcess: Process | undefined
  #lastKnown: KnownProcess | undefined

  constructor(conditions: readonly Condition[]) {
    this.#conditions = conditions
    this.#counts = conditions.map(() => 0)
  }

  accepts(event: Event): boolean {
    // A record of losses says what is missing among those that a filter accepts: nothing keeps it out.
    if (event.type === 'events_lost') return true
    const verdict = this.#verdict(event)
    if (verdict === ACCEPTED) return true
    this.#counts[verdict] = (this.#counts[verdict] ?? 0) + 1
    return false
  }

  get filtered(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#conditions.map(({ key }, i) => [key, this.#counts[i] ?? 0]))
  }

  #verdict(event: ProcessEvent): Verdict {
    const kind = event.type === 'process_kprobe' ? this.#hookKind(event, event.hook) : this.#kind(event, '')
    if (kind.verdict !== BY_PROCESS) return kind.verdict
    const { verdicts } = this.#known(event.process, event.parent)
    return (verdicts[kind.index] ??= this.#decide(kind, event))
  }

  #hookKind(event: ProcessEvent, hook: Hook): KnownKind {
    if (hook === this.#lastHook && this.#lastKind !== undefined) return this.#lastKind
    let kind = this.#hooks.get(hook)
    if (kind === undefined) this.#hooks.set(hook, (kind = this.#kind(event, hook.policy)))
    this.#lastHook = hook
    this.#lastKind = kind
    return kind
  }

  #kind(event: ProcessEvent, policy: string): KnownKind {
    const { type } = event
    const key = policy === '' ? type : `${type} ${policy}`
    const known = this.#kinds.get(key)
    if (known !== undefined) return known
    const made = { type, policy, index: this.#kinds.size, verdict: this.#ofKind({ type, policy }, event) }
    this.#kinds.set(key, made)
    return made
  }

  /** `event` is any of its kind. */
  #ofKind(kind: Kind, { process, parent }: ProcessEvent): Verdict {
    const no = this.#conditions.findIndex(({ byKind, asks }) => byKind && !asks(kind, process, parent))
    return no < 0 && this.#conditions.some(({ byKind }) => !byKind) ? BY_PROCESS : no
  }

  #known(process: Process, parent: Process | undefined): KnownProcess {
    const last = this.#lastKnown
    if (process === this.#lastProcess && last !== undefined && last.parent === parent) return last
    const rendered = touch(process.rendered)
    let known = this.#processes.get(rendered.key)
    // The parent may have become another image since.
    if (known === undefined || known.parent !== parent) {
      rendered.cache.charge(rendered, KNOWN_BYTES)
      this.#processes.set(rendered.key, (known = { parent, verdicts: [] }))
    }
    this.#lastProcess = process
    this.#lastKnown = known
    return known
  }

  #decide(kind: Kind, { process, parent }: ProcessEvent): Verdict {
    return this.#conditions.findIndex(({ asks }) => !asks(kind, process, parent))
  }
}
