/**
 * Checks whether hooks still see calls: the agent makes harmless accesses and checks whether the program of each function that they
 * call ran. Calls of others at that moment prove the same. The agent's own accesses make no events: the program leaves them out, after it has
 * counted the call. It needs only the rights to load programs; the kernel's own counts need CAP_SYS_ADMIN (BPF_ENABLE_STATS).
 */
import type { KernelFacts } from '../plan/facts.ts'
import type { ScreenedFunction } from '../kernel/programs/gate.ts'
import { accesses, lacksDescriptors } from './accesses.ts'
import type { Access } from './accesses.ts'
import type { Finding } from '../kernel/watched/finding.ts'

const INTERVAL_MS = 3_600_000
/** The kernel skips a call while its CPU is in that program already; this does not happen several times in a row. */
const TRIES = 3

export interface CanaryOptions {
  readonly facts: KernelFacts
  /** The functions with attached programs. */
  readonly functions: () => readonly ScreenedFunction[]
  /** Has the next call in each cgroup run the whole program, which counts it. */
  readonly forget: () => void
  /** Makes an access; returns whether it reached its functions. Default: the real access. */
  readonly make?: (access: Access) => boolean
}

export class Canary {
  readonly #options: CanaryOptions
  readonly #accesses: readonly Access[]
  readonly #provoked: ReadonlySet<string>
  /** Functions that ran when an access was made: this kernel calls them. */
  readonly #seen = new Set<string>()
  #known = new WeakSet<ScreenedFunction['link']>()
  #nextMs = 0
  #findings: readonly Finding[] = []

  constructor(options: CanaryOptions) {
    this.#options = options
    this.#accesses = accesses(options.facts)
    this.#provoked = new Set(this.#accesses.flatMap(functionsOf))
  }

  /** Makes accesses after a new attachment, each hour, and at each call while it has findings. Returns the findings. */
  check(nowMs: number): readonly Finding[] {
    const hooked = this.#options.functions().filter(({ symbol }) => this.#provoked.has(symbol))
    const due = nowMs >= this.#nextMs || this.#findings.length > 0 || hooked.some(({ link }) => !this.#known.has(link))
    if (!due) return this.#findings
    try {
      let silent = this.#silent(hooked)
      for (let tries = 1; tries < TRIES && silent.length > 0; tries++) silent = this.#silent(silent)
      this.#findings = silent.map(finding)
    } catch (error) {
      // Without a free descriptor, no access is made or counted: the test is still due at the next call.
      if (lacksDescriptors(error)) return this.#findings
      throw error
    }
    this.#nextMs = nowMs + INTERVAL_MS
    for (const { link } of hooked) this.#known.add(link)
    return this.#findings
  }

  /** The called functions whose program did not run. Synchronous: no policy changes meanwhile, so the programs and their counts stay. */
  #silent(hooked: readonly ScreenedFunction[]): ScreenedFunction[] {
    if (hooked.length === 0) return []
    const { make = (access) => access.make(), forget } = this.#options
    const symbols = new Set(hooked.map(({ symbol }) => symbol))
    const before = hooked.map(({ calls }) => calls())
    forget()
    const made = this.#accesses.filter(
      (access) => functionsOf(access).some((name) => symbols.has(name)) && make(access),
    )
    const still = hooked.filter(({ calls }, i) => calls() === before[i])
    for (const { symbol } of hooked.filter((each) => !still.includes(each))) this.#seen.add(symbol)
    const called = new Set(
      made.flatMap(({ calls, mayCall }) => [...calls, ...mayCall.filter((f) => this.#seen.has(f))]),
    )
    return still.filter(({ symbol }) => called.has(symbol))
  }
}

const functionsOf = ({ calls, mayCall }: Access): string[] => [...calls, ...mayCall]

const finding = ({ symbol, link: { kind } }: ScreenedFunction): Finding => ({
  kind: 'hook_silent',
  on: `${symbol} (${kind})`,
  expected: 'the program to run when the agent makes an access',
  got: 'it did not run',
  repaired: false,
})
