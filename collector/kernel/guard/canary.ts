/**
 * Whether hooks still see what they are for: the agent makes a harmless access and looks whether the kernel ran the program of each function
 * that the access calls. Calls of others at that moment prove the same. The agent's own accesses make no events: the program behind the gate
 * leaves them out, after the kernel has counted the run.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { NativeError } from '../../../native/index.ts'
import type { Link } from '../../../native/types.ts'
import { atLeast } from '../facts.ts'
import type { KernelFacts } from '../facts.ts'
import type { Finding } from './finding.ts'

const INTERVAL_MS = 3_600_000

export interface CanaryOptions {
  readonly facts: KernelFacts
  /** What is attached to functions now. */
  readonly links: () => ReadonlyArray<{ readonly symbol: string; readonly link: Link }>
  /** Makes the kernel count runs until closed. */
  readonly enableStats: () => Disposable
  /** Called once, when the kernel does not let the agent count runs. */
  readonly warn: (reason: string) => void
  /** Default: `access`. */
  readonly act?: () => void
}

export class Canary {
  readonly #options: CanaryOptions
  readonly #provoked: ReadonlySet<string>
  #known = new WeakSet<Link>()
  #nextMs = 0
  #findings: readonly Finding[] = []
  #ended = false

  constructor(options: CanaryOptions) {
    this.#options = options
    this.#provoked = provoked(options.facts)
  }

  /** Makes an access when something new is attached, each hour, and at each call while something is wrong. Returns what is wrong. */
  check(nowMs: number): readonly Finding[] {
    const links = this.#options.links().filter(({ symbol }) => this.#provoked.has(symbol))
    const due = nowMs >= this.#nextMs || this.#findings.length > 0 || links.some(({ link }) => !this.#known.has(link))
    if (!due || this.#ended) return this.#findings
    this.#nextMs = nowMs + INTERVAL_MS
    for (const { link } of links) this.#known.add(link)
    return (this.#findings = this.#silent(links))
  }

  #silent(links: ReturnType<CanaryOptions['links']>): Finding[] {
    if (links.length === 0) return []
    const { enableStats, act = access, warn } = this.#options
    try {
      using counting = new DisposableStack()
      counting.use(enableStats())
      const before = links.map(({ link }) => link.stats().runs)
      act()
      const silent = links.filter(({ link }, i) => link.stats().runs === before[i])
      return silent.map(({ symbol, link: { kind } }) => ({
        kind: 'hook_silent',
        on: `${symbol} (${kind})`,
        expected: 'the program to run when the agent makes an access',
        got: 'it did not run',
        repaired: false,
      }))
    } catch (error) {
      if (!(error instanceof NativeError)) throw error
      this.#ended = true
      warn(error.message)
      return []
    }
  }
}

/** Functions that `access` calls on every kernel of this version. */
function provoked(facts: KernelFacts): ReadonlySet<string> {
  const truncate = atLeast(facts, 6, 2) ? 'security_file_truncate' : 'security_path_truncate'
  return new Set(['security_file_open', 'fd_install', 'security_file_permission', 'security_mmap_file', truncate])
}

/** Opens, truncates, reads and maps, without a file of its own: the text of /proc/self/comm stays as it is. */
export function access(): void {
  closeSync(openSync('/proc/self/comm', 'w'))
  readFileSync('/proc/self/comm')
  try {
    // V8 maps the room of a buffer that may grow; memory of malloc may have been mapped before.
    void new ArrayBuffer(0, { maxByteLength: 4096 })
  } catch {
    // No memory: the kernel has called the hook before it refused.
  }
}
