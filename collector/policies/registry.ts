/**
 * The policies of the agent, from any source: watched folders, and the API.
 *
 * A change is applied as a whole or not at all, and a refused version changes nothing. During a change no access is missed and none is reported
 * twice, except by a hook that changes its way of attaching. Changes run one after another.
 */
import type { Policy } from '../../config/policy/policy.ts'
import { denies, notifies, sendsSignals } from '../../config/policy/selectors/actions.ts'
import type { Change, PolicyMode } from '../../exporters/contract/event.ts'
import { Mutex } from '../../config/base/mutex.ts'
import { CollectorError } from '../errors.ts'
import type { Done } from '../kernel/actions/acted.ts'

export interface PolicyId {
  /** Its source, for instance the path of its file. */
  readonly source: string
  /** '' for a policy of the whole host. */
  readonly namespace: string
  readonly name: string
}

/** A policy attached in the kernel. */
export interface Attached {
  readonly hooks: ReadonlyArray<{ readonly symbol: string; readonly mode: string; readonly load: string }>
  /** Optional calls that this kernel does not have. */
  readonly skipped: ReadonlyArray<{ readonly symbol: string }>
  /** Needs of the policy that this kernel lacks, a sentence each. */
  readonly lacking: readonly string[]
  /** Things that it does not do on this kernel, by its own permission, a sentence each. */
  readonly limited: readonly string[]
  /** Events of its hooks so far. */
  events(): number
  /** Bytes of the kernel's memory for it. */
  kernelMemory(): number
  /** Actions of its selectors so far, without selectors that have not matched. */
  done(): SelectorDone[]
}

/** Events and actions of one selector of a policy. */
export interface SelectorDone {
  /** Position in `hooks`. */
  readonly hook: number
  /** Undefined: of a hook without selectors. */
  readonly selector: number | undefined
  /** The label in the policy; '' for none. */
  readonly label: string
  /** Events. */
  readonly posts: number
  readonly done: Done
}

/** Attaches and detaches. */
export interface PolicyKernel<T extends Attached> {
  /** Takes effect as a whole or, if it throws, not at all. Returns the added policies, in order. */
  change(remove: readonly T[], add: readonly Policy[]): Promise<T[]>
  /** Whether it would be attached otherwise now, because modules of the kernel came or went. */
  stale(attached: T): Promise<boolean>
  /** A running change fails. */
  detachAll(): Promise<void>
}

/** A policy with the ids that it replaces; one with the same id is always replaced. */
export interface PolicyPut {
  readonly id: PolicyId
  readonly policy: Policy
  readonly replaces: readonly PolicyId[]
}

export interface PolicyStatus extends Pick<Attached, 'hooks' | 'skipped' | 'lacking' | 'limited'> {
  readonly id: PolicyId
  /** Number of the registry's entry, from 1; a replacement keeps it. */
  readonly number: number
  /** `disabled`, `error`: nothing of it is attached. */
  readonly state: 'enabled' | 'disabled' | 'error'
  /** The reason why the kernel refused the latest version; an earlier one may be attached. */
  readonly error: string | undefined
  /** The attached version; in state `error` the refused version. */
  readonly policy: Policy
  readonly events: number
  readonly kernelMemory: number
  readonly done: readonly SelectorDone[]
}

interface Entry<T> {
  readonly id: PolicyId
  readonly number: number
  readonly policy: Policy
  readonly attached: T | undefined
  readonly error: string | undefined
}

/** Only an enforcing policy sends signals or makes calls fail. */
export function modeOf({ hooks }: Pick<Policy, 'hooks'>): PolicyMode {
  return hooks.some((hook) => sendsSignals(hook) || denies(hook) || notifies(hook)) ? 'enforce' : 'monitor'
}

/** Called with a change when it has taken effect. */
export type OnChange = (change: Omit<Change, 'count'>) => void

/** `NAMESPACE/NAME`, or the name alone. */
export const nameOf = ({ namespace, name }: PolicyId): string => (namespace === '' ? name : `${namespace}/${name}`)

const keyOf = ({ source, namespace, name }: PolicyId): string => JSON.stringify([source, namespace, name])

export class Policies<T extends Attached = Attached> implements AsyncDisposable {
  readonly #kernel: PolicyKernel<T>
  readonly #entries = new Map<string, Entry<T>>()
  readonly #mutex = new Mutex()
  #numbers = 0
  #ended = false
  readonly #changed: OnChange

  constructor(kernel: PolicyKernel<T>, changed: OnChange = () => {}) {
    this.#kernel = kernel
    this.#changed = changed
  }

  /** All policies, in the order in which they were added. */
  list(): PolicyStatus[] {
    return [...this.#entries.values()].map(({ id, number, policy, attached, error }) => ({
      id,
      number,
      state: attached !== undefined ? 'enabled' : error === undefined ? 'disabled' : 'error',
      error,
      policy,
      hooks: attached?.hooks ?? [],
      skipped: attached?.skipped ?? [],
      lacking: attached?.lacking ?? [],
      limited: attached?.limited ?? [],
      events: attached?.events() ?? 0,
      kernelMemory: attached?.kernelMemory() ?? 0,
      done: attached?.done() ?? [],
    }))
  }

  /**
   * Attaches a new policy. Throws CollectorError POLICY_EXISTS if a policy with this id is attached or disabled, and errors of the kernel;
   * then the policy is listed with that error. `by`: the author of the change, also in the other methods; default: its file.
   */
  add(id: PolicyId, policy: Policy, by?: string): Promise<void> {
    return this.#mutex.run(async () => {
      const known = this.#entries.get(keyOf(id))
      if (known !== undefined && isKnown(known)) {
        throw new CollectorError('POLICY_EXISTS', `policy "${id.name}" of ${id.source} exists: remove or replace it`)
      }
      const error = await this.#put([{ id, policy, replaces: [] }], by)
      if (error !== undefined) throw error
    })
  }

  /**
   * Attaches policies instead of the replaced ones, which may have another name or source. Several at once, which is much faster than one after
   * another. Returns for each the kernel's error, after which the ones that it replaces stay attached, or undefined. A policy that the kernel
   * refuses does not keep the others out. Each id once.
   */
  put(puts: readonly PolicyPut[], by?: string): Promise<unknown[]> {
    return this.#mutex.run(() => this.#putAll(puts, by))
  }

  /** Halves, until a refused policy is alone: each change that takes effect loads the programs of its functions anew. */
  async #putAll(puts: readonly PolicyPut[], by?: string): Promise<unknown[]> {
    if (puts.length === 0) return []
    const error = await this.#put(puts, by)
    if (puts.length === 1 || error === undefined) return puts.map(() => error)
    const half = Math.ceil(puts.length / 2)
    return [...(await this.#putAll(puts.slice(0, half), by)), ...(await this.#putAll(puts.slice(half), by))]
  }

  /** One change of the kernel; returns its error. */
  async #put(puts: readonly PolicyPut[], by?: string, what?: Change['what']): Promise<unknown> {
    const replaced = [...new Set(puts.flatMap(({ id, replaces }) => [...replaces, id].map(keyOf)))]
    try {
      const added = await this.#kernel.change(
        replaced.flatMap((key) => this.#entries.get(key)?.attached ?? []),
        puts.map(({ policy }) => policy),
      )
      const numbers = puts.map(({ id }) => this.#numberOf(id))
      const before = replaced.flatMap((key) => this.#entries.get(key) ?? []).filter(isKnown)
      for (const key of replaced) this.#entries.delete(key)
      for (const [i, { id, policy }] of puts.entries()) {
        const entry = { id, number: numbers[i] ?? 0, policy, attached: added[i], error: undefined }
        this.#entries.set(keyOf(id), entry)
      }
      this.#changedTo(puts, before, by, what)
      return undefined
    } catch (error) {
      const [put] = puts
      if (puts.length === 1 && put !== undefined && !this.#ended) this.#refused(put, error)
      return error
    }
  }

  #changedTo(puts: readonly PolicyPut[], before: readonly Entry<T>[], by?: string, what?: Change['what']): void {
    for (const entry of before)
      if (!puts.some(({ id }) => same(id, entry.id))) this.#report('policy_removed', entry, by)
    for (const put of puts) {
      const old = before.find(({ id }) => same(id, put.id))
      const modeBefore = old && modeOf(old.policy)
      this.#report(what ?? (old === undefined ? 'policy_added' : 'policy_replaced'), put, by, modeBefore)
    }
  }

  #report(what: Change['what'], { id, policy }: Omit<PolicyPut, 'replaces'>, by?: string, before?: PolicyMode): void {
    const mode = modeOf(policy)
    const modeBefore = before === mode ? undefined : before
    this.#changed({ what, by: by ?? `file ${id.source}`, names: [nameOf(id)], mode, modeBefore })
  }

  #refused({ id, policy }: PolicyPut, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    const before = this.#entries.get(keyOf(id))
    this.#entries.set(
      keyOf(id),
      before?.attached === undefined
        ? { id, number: this.#numberOf(id), policy, attached: undefined, error: why }
        : { ...before, error: why },
    )
  }

  /** Attaches stale policies again. Returns them, with the kernel's error; such a policy stays as it was. */
  renew(): Promise<Array<{ readonly id: PolicyId; readonly error: unknown }>> {
    return this.#mutex.run(async () => {
      const renewed: Array<{ readonly id: PolicyId; readonly error: unknown }> = []
      const entries = [...this.#entries.values()]
      for (const { id, policy, attached } of entries) {
        if (attached === undefined || this.#ended || !(await this.#kernel.stale(attached))) continue
        renewed.push({ id, error: await this.#put([{ id, policy, replaces: [] }], 'kernel modules') })
      }
      return renewed
    })
  }

  #numberOf(id: PolicyId): number {
    return this.#entries.get(keyOf(id))?.number ?? ++this.#numbers
  }

  /** Attaches a disabled policy; one that is attached stays so. Throws CollectorError NO_SUCH_POLICY, and errors of the kernel. */
  enable(id: PolicyId, by?: string): Promise<void> {
    return this.#mutex.run(async () => {
      const { attached, policy } = this.#known(id)
      if (attached !== undefined) return
      const error = await this.#put([{ id, policy, replaces: [] }], by, 'policy_enabled')
      if (error !== undefined) throw error
    })
  }

  /** Detaches a policy, which stays listed. Throws CollectorError NO_SUCH_POLICY. */
  disable(id: PolicyId, by?: string): Promise<void> {
    return this.#mutex.run(async () => {
      const entry = this.#known(id)
      if (entry.attached !== undefined) await this.#kernel.change([entry.attached], [])
      this.#entries.set(keyOf(id), { ...entry, attached: undefined, error: undefined })
      if (entry.attached !== undefined) this.#report('policy_disabled', entry, by)
    })
  }

  #known(id: PolicyId): Entry<T> {
    const entry = this.#entries.get(keyOf(id))
    if (entry === undefined) throw new CollectorError('NO_SUCH_POLICY', `no policy "${id.name}" of ${id.source}`)
    return entry
  }

  /** Detaches policies in one change of the kernel, and forgets them. Each id once. */
  remove(ids: readonly PolicyId[], by?: string): Promise<void> {
    return this.#mutex.run(async () => {
      const entries = ids.flatMap((id) => this.#entries.get(keyOf(id)) ?? [])
      const attached = entries.flatMap((entry) => entry.attached ?? [])
      if (attached.length > 0) await this.#kernel.change(attached, [])
      for (const entry of entries) {
        this.#entries.delete(keyOf(entry.id))
        if (isKnown(entry)) this.#report('policy_removed', entry, by)
      }
    })
  }

  /** Detaches everything at once; a running change fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    this.#entries.clear()
    await this.#kernel.detachAll()
    // Detaches hooks that the change had already attached.
    await this.#mutex.run(() => this.#kernel.detachAll())
  }
}

/** A policy that comes from another source now is the same to a reader. */
function same(a: PolicyId, b: PolicyId): boolean {
  return a.namespace === b.namespace && a.name === b.name
}

/** Attached or disabled: not only refused. */
function isKnown({ attached, error }: Entry<Attached>): boolean {
  return attached !== undefined || error === undefined
}

/** The attached policies. */
export function enabledOf(policies: Pick<Policies, 'list'>): PolicyStatus[] {
  return policies.list().filter(({ state }) => state === 'enabled')
}
