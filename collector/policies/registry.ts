/**
 * The policies of the agent, from any source (today: a watched folder).
 *
 * Changes are made one after the other, in the order of the calls. A change is applied as a whole or not at all: the new version is attached before the old one is detached, and a refused version changes
 * nothing. During an update an access may be reported twice but is never missed.
 */
import type { Policy } from '../../config/policy/policy.ts'
import { CollectorError } from '../errors.ts'

export interface PolicyId {
  /** Where it comes from, for instance the path of its file. */
  readonly source: string
  /** '' for a policy of the whole host. */
  readonly namespace: string
  readonly name: string
}

/** A policy attached in the kernel; disposing detaches it. */
export interface Attached extends AsyncDisposable {
  readonly hooks: ReadonlyArray<{ readonly symbol: string; readonly mode: string }>
  /** Optional calls that this kernel does not have. */
  readonly skipped: ReadonlyArray<{ readonly symbol: string }>
  /** Events of its hooks so far. */
  events(): number
}

export interface PolicyStatus {
  readonly id: PolicyId
  /** `error`: nothing of it is attached. */
  readonly state: 'enabled' | 'error'
  /** Why the kernel refused the latest version; an earlier one may be attached. */
  readonly error: string | undefined
  /** The attached version; in state `error` the refused version. */
  readonly policy: Policy
  readonly hooks: Attached['hooks']
  readonly skipped: Attached['skipped']
  readonly events: number
}

interface Entry {
  readonly id: PolicyId
  readonly policy: Policy
  readonly attached: Attached | undefined
  readonly error: string | undefined
}

const keyOf = ({ source, namespace, name }: PolicyId): string => JSON.stringify([source, namespace, name])

export class Policies implements AsyncDisposable {
  readonly #attach: (policy: Policy) => Promise<Attached>
  readonly #entries = new Map<string, Entry>()
  /** Ends with the last change. */
  #last: Promise<unknown> = Promise.resolve()

  /** `attach` rejects when the kernel refuses the policy; then nothing of it is attached. */
  constructor(attach: (policy: Policy) => Promise<Attached>) {
    this.#attach = attach
  }

  /** All policies, in the order in which they were added. */
  list(): PolicyStatus[] {
    return [...this.#entries.values()].map(({ id, policy, attached, error }) => ({
      id,
      state: attached === undefined ? 'error' : 'enabled',
      error,
      policy,
      hooks: attached?.hooks ?? [],
      skipped: attached?.skipped ?? [],
      events: attached?.events() ?? 0,
    }))
  }

  /**
   * Attaches a new policy. Rejects with CollectorError POLICY_EXISTS when a policy with this id is attached, and whatever `attach` throws; then the
   * policy is listed with that error.
   */
  add(id: PolicyId, policy: Policy): Promise<void> {
    return this.#inTurn(() => {
      if (this.#entries.get(keyOf(id))?.attached !== undefined) {
        throw new CollectorError('POLICY_EXISTS', `policy "${id.name}" of ${id.source} exists: remove or replace it`)
      }
      return this.#replace([], id, policy)
    })
  }

  /**
   * Attaches a policy, then detaches those that it replaces; they may have another name or source. A policy with the same id is always
   * replaced. Rejects with whatever `attach` throws; then the others stay attached.
   */
  replace(replaced: readonly PolicyId[], id: PolicyId, policy: Policy): Promise<void> {
    return this.#inTurn(() => this.#replace(replaced, id, policy))
  }

  /** Detaches a policy and forgets it. */
  remove(id: PolicyId): Promise<void> {
    return this.#inTurn(() => this.#remove(id))
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#last.then(change)
    this.#last = done.catch(() => undefined)
    return done
  }

  async #replace(replaced: readonly PolicyId[], id: PolicyId, policy: Policy): Promise<void> {
    const key = keyOf(id)
    const before = this.#entries.get(key)
    let attached: Attached
    try {
      attached = await this.#attach(policy)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#entries.set(key, before?.attached === undefined ? entry(id, policy, why) : { ...before, error: why })
      throw error
    }
    for (const old of [...replaced, id]) await this.#remove(old)
    this.#entries.set(key, { id, policy, attached, error: undefined })
  }

  async #remove(id: PolicyId): Promise<void> {
    const key = keyOf(id)
    await this.#entries.get(key)?.attached?.[Symbol.asyncDispose]()
    this.#entries.delete(key)
  }

  /** Detaches everything, after the changes that were asked for before. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#inTurn(async () => {
      const entries = [...this.#entries.values()]
      this.#entries.clear()
      await Promise.all(entries.map(({ attached }) => attached?.[Symbol.asyncDispose]()))
    })
  }
}

/** The attached policies. */
export function enabledOf(policies: Pick<Policies, 'list'>): PolicyStatus[] {
  return policies.list().filter(({ state }) => state === 'enabled')
}

function entry(id: PolicyId, policy: Policy, error: string): Entry {
  return { id, policy, attached: undefined, error }
}
