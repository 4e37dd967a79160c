/** Facts that policies need and a call does not contain: conditions on processes, files by identity, counts of equal calls. */
import type { Policy } from '../../../config/policy/policy.ts'
import { Seldom } from '../../../config/base/time/seldom.ts'
import { NativeError } from '../../../native/index.ts'
import type { BpfObject, ObjectOptions } from '../../../native/types.ts'
import { Aggregates, NO_AGGREGATES } from '../actions/aggregates.ts'
import type { AggregateKey, Taken } from '../actions/aggregates.ts'
import type { Conditions } from './conditions.ts'
import { hostNamespaces } from './host-namespaces.ts'
import { NO_CHANGES, Privileges } from './privileges.ts'
import { Files } from '../files/files.ts'
import type { FilesOptions } from '../files/files.ts'
import { FileContents } from '../files/contents.ts'
import { asksOfFiles } from '../../plan/layout/hook.ts'
import { asksOfChanges } from '../../plan/layout/selector.ts'
import type { HostFacts, PolicyHook } from '../../plan/layout/selector.ts'
import type { SharedMaps } from '../../plan/objects.ts'
import { refusedAt } from '../../plan/refusal.ts'
import type { Finding } from '../watched/finding.ts'

export class Lookups {
  readonly #conditions: Conditions
  readonly #options: FilesOptions
  readonly #maps: SharedMaps
  readonly files: Files
  readonly contents: FileContents
  readonly facts: HostFacts
  readonly #privileges: Privileges
  /** Made with the first policy that aggregates. */
  #aggregates: Aggregates | undefined
  readonly #warnings = new Seldom()

  constructor(conditions: Conditions, options: FilesOptions, maps: SharedMaps, procfs: string) {
    this.#conditions = conditions
    this.#options = options
    this.#maps = maps
    this.files = new Files(options, maps)
    this.contents = new FileContents(options, maps)
    this.#privileges = new Privileges(maps, procfs)
    this.facts = { ...conditions.bits, hostNamespace: hostNamespaces(procfs), filesOf: this.files.bitOf }
  }

  /** Rejects with POLICY_REFUSED; then nothing changes. */
  async add(policies: readonly Policy[]): Promise<void> {
    await this.#addAggregates(policies)
    using undo = new DisposableStack()
    await this.#conditions.add(policies)
    undo.defer(() => this.#conditions.remove(policies))
    await this.contents.add(policies)
    undo.defer(() => this.contents.remove(policies))
    await this.files.add(policies)
    undo.defer(() => this.files.remove(policies))
    // Before it is done: it counts the policies first.
    undo.defer(() => this.#privileges.remove(policies))
    await this.#privileges.add(policies)
    undo.move()
  }

  async #addAggregates(policies: readonly Policy[]): Promise<void> {
    for (const { file, hooks } of policies) {
      for (const { aggregate } of hooks) {
        if (aggregate === undefined) continue
        const { openObject, facts } = this.#options
        this.#aggregates ??= await Aggregates.open(openObject, facts, this.#maps).catch((error: unknown) => {
          if (!(error instanceof NativeError)) throw error
          throw refusedAt({ file }, aggregate.at, `aggregate does not fit into this kernel: ${error.message}`, error)
        })
      }
    }
  }

  /** Call it when no program serves these policies any more. */
  remove(policies: readonly Policy[]): void {
    this.#conditions.remove(policies)
    this.files.remove(policies)
    this.contents.remove(policies)
    this.#privileges.remove(policies)
  }

  /** Maps for the programs of these functions. */
  mapsOf(functions: Functions): Required<Pick<ObjectOptions, 'sharedMaps' | 'mapSizes'>> {
    const files = functions.some(({ hooks }) => hooks.some(asksOfFiles)) ? this.files.maps : undefined
    const changes = this.#privileges.maps.changed !== undefined || askOfChanges(functions)
    return {
      sharedMaps: { ...files, ...this.#aggregates?.maps, ...this.#privileges.maps },
      mapSizes: {
        ...(changes ? {} : NO_CHANGES),
        ...(files && { file_walks: functions.length }),
        ...(this.#aggregates === undefined ? NO_AGGREGATES : {}),
      },
    }
  }

  /** Keeps the maps of a loaded object that later objects share. */
  loaded(object: Pick<BpfObject, 'map'>, functions: Functions): void {
    if (askOfChanges(functions)) this.#privileges.loaded(object)
  }

  /** Finds and repairs changes of the maps by other processes, and finds missing links. */
  check(): Finding[] {
    return [...this.#conditions.check(), ...this.#privileges.check(), ...this.files.check()]
  }

  /** The count of an aggregate, once. */
  takeAggregate(key: AggregateKey): Taken {
    try {
      return this.#aggregates?.take(key) ?? 'unknown'
    } catch (error) {
      // Out of memory, for instance. The kernel counts on.
      if (!(error instanceof NativeError)) throw error
      // It is asked for again every few milliseconds.
      if (this.#warnings.due(performance.now()))
        this.#options.warn?.({ error: error.message }, 'the count of equal calls could not be read; retrying')
      return 'later'
    }
  }

  /** Call it before the maps of all programs are closed. */
  stop(): void {
    this.#privileges.stop()
  }

  /** Call it when no program runs any more. */
  close(): void {
    this.files.close()
    this.contents.close()
    this.#privileges.close()
    this.#aggregates?.[Symbol.dispose]()
  }
}

type PolicySpec = Pick<PolicyHook, 'spec'>
type Functions = ReadonlyArray<{ readonly hooks: readonly PolicySpec[] }>

const askOfChanges = (functions: Functions): boolean =>
  functions.some(({ hooks }) => hooks.some(({ spec: { selectors } }) => selectors.some(asksOfChanges)))
