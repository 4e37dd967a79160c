/** Policies without programs. */
import { setImmediate } from 'node:timers/promises'
import { CollectorError } from '../../../../collector/errors.ts'
import type {
  Attached,
  Policies,
  PolicyId,
  PolicyKernel,
  SelectorDone,
} from '../../../../collector/policies/registry.ts'
import type { Policy } from '../../../../config/policy/policy.ts'

export const idOf = (name: string, source = 'test'): PolicyId => ({ source, namespace: '', name })

export const policyOf = (name: string): Policy => ({ name, file: `${name}.yaml`, hooks: [], groups: [] })

interface Row {
  readonly name: string
  /** Modes of its hooks. */
  readonly modes?: readonly string[]
  /** Optional calls that are missing. */
  readonly skipped?: readonly string[]
  readonly lacking?: readonly string[]
  readonly limited?: readonly string[]
  readonly done?: readonly SelectorDone[]
  readonly specs?: Policy['hooks']
}

export function enabledPolicies(...rows: readonly Row[]): Pick<Policies, 'list'> {
  return {
    list: () =>
      rows.map(({ name, modes = [], skipped = [], lacking = [], limited = [], done = [], specs = [] }, i) => ({
        id: idOf(name),
        number: i + 1,
        state: 'enabled',
        error: undefined,
        policy: { ...policyOf(name), hooks: specs },
        hooks: modes.map((mode, at) => ({ symbol: `f${at}`, mode, load: '' })),
        skipped: skipped.map((symbol) => ({ symbol })),
        lacking,
        limited,
        events: 0,
        kernelMemory: 0,
        done,
      })),
  }
}

export interface FakeAttached extends Attached {
  readonly policy: Policy
}

/** A kernel that is a list. It takes a while for each change, as the real one. */
export class FakeKernel implements PolicyKernel<FakeAttached> {
  attached: FakeAttached[] = []
  /** Each change that took effect, as `-a -b +c`. */
  readonly log: string[]
  /** Each change that was tried. */
  readonly tries: string[] = []
  /** Error of a change that adds this policy. */
  refuse: (policy: Policy) => Error | undefined = () => undefined
  /** A change that adds policies waits for it. */
  busy: Promise<void> = Promise.resolve()
  /** Error of a change that removes this policy. */
  keep: (policy: Policy) => Error | undefined = () => undefined
  /** Action counts for the selectors of policies added from now on. */
  done: SelectorDone[] = []
  /** The load of a module that has the function of every policy added now. */
  load = ''
  /** Changes that ran at the same time, at most. */
  together = 0
  #running = 0
  #closed = false

  constructor(log: string[] = []) {
    this.log = log
  }

  /** The names of the attached policies. */
  get names(): string[] {
    return this.attached.map(({ policy }) => policy.name)
  }

  async change(remove: readonly FakeAttached[], add: readonly Policy[]): Promise<FakeAttached[]> {
    const what = [...remove.map(({ policy }) => `-${policy.name}`), ...add.map(({ name }) => `+${name}`)].join(' ')
    this.tries.push(what)
    this.together = Math.max(this.together, ++this.#running)
    try {
      await setImmediate()
      if (add.length > 0) await this.busy
    } finally {
      this.#running--
    }
    if (this.#closed) throw new CollectorError('POLICY_REFUSED', 'the agent is stopping')
    for (const policy of add) {
      const error = this.refuse(policy)
      if (error !== undefined) throw error
    }
    for (const one of remove) {
      const error = this.keep(one.policy)
      if (error !== undefined) throw error
      if (!this.attached.includes(one)) throw new Error(`${one.policy.name} is not attached`)
    }
    const added = add.map((policy) => ({
      policy,
      hooks: [{ symbol: 'f', mode: 'fexit', load: this.load }],
      skipped: [{ symbol: 'g' }],
      lacking: [],
      limited: [],
      events: () => 7,
      kernelMemory: () => 8192,
      done: () => this.done,
    }))
    this.attached = [...this.attached.filter((one) => !remove.includes(one)), ...added]
    this.log.push(what)
    return added
  }

  async stale({ hooks }: FakeAttached): Promise<boolean> {
    await setImmediate()
    return hooks.some(({ load }) => load !== this.load)
  }

  async detachAll(): Promise<void> {
    this.#closed = true
    if (this.attached.length > 0) this.log.push(this.names.map((name) => `-${name}`).join(' '))
    this.attached = []
  }
}
