/**
 * Whether hooks still see what they are for: the agent makes a harmless access and looks whether the program of each function that the access
 * calls ran. Calls of others at that moment prove the same. The agent's own accesses make no events: the program leaves them out, after it has
 * counted the call. It needs no right beyond those of loading programs, which the kernel's own counts do (BPF_ENABLE_STATS: CAP_SYS_ADMIN).
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Link } from '../../../native/types.ts'
import { atLeast } from '../facts.ts'
import type { KernelFacts } from '../facts.ts'
import type { Finding } from './finding.ts'

const INTERVAL_MS = 3_600_000
/** Of the addon and of Node. */
const NO_DESCRIPTORS: ReadonlySet<unknown> = new Set(['NO_DESCRIPTORS', 'EMFILE', 'ENFILE'])

/** A function with a program behind its gate. */
export interface ScreenedFunction {
  readonly symbol: string
  /** At its entry; the same as long as the function is attached. */
  readonly link: Pick<Link, 'kind'>
  /** How often the program began a call since it was loaded; not calls from cgroups that it remembers (bpf/call/elsewhere.h). */
  readonly calls: () => bigint
}

export interface CanaryOptions {
  readonly facts: KernelFacts
  /** What is attached now. */
  readonly functions: () => readonly ScreenedFunction[]
  /** Has the next call in each cgroup run the whole program, which counts it. */
  readonly forget: () => void
  /** Default: `access`. */
  readonly act?: () => void
}

export class Canary {
  readonly #options: CanaryOptions
  readonly #provoked: ReadonlySet<string>
  #known = new WeakSet<ScreenedFunction['link']>()
  #nextMs = 0
  #findings: readonly Finding[] = []

  constructor(options: CanaryOptions) {
    this.#options = options
    this.#provoked = provoked(options.facts)
  }

  /** Makes an access when something new is attached, each hour, and at each call while something is wrong. Returns what is wrong. */
  check(nowMs: number): readonly Finding[] {
    const hooked = this.#options.functions().filter(({ symbol }) => this.#provoked.has(symbol))
    const due = nowMs >= this.#nextMs || this.#findings.length > 0 || hooked.some(({ link }) => !this.#known.has(link))
    if (!due) return this.#findings
    try {
      this.#findings = this.#silent(hooked)
    } catch (error) {
      // Neither an access nor a count without a free descriptor: it is still due at the next call.
      if (error instanceof Error && 'code' in error && NO_DESCRIPTORS.has(error.code)) return this.#findings
      throw error
    }
    this.#nextMs = nowMs + INTERVAL_MS
    for (const { link } of hooked) this.#known.add(link)
    return this.#findings
  }

  /** Synchronous: meanwhile no policy changes, so that the programs and their counts stay. */
  #silent(hooked: readonly ScreenedFunction[]): Finding[] {
    if (hooked.length === 0) return []
    const { act = access, forget } = this.#options
    const before = hooked.map(({ calls }) => calls())
    forget()
    act()
    const silent = hooked.filter(({ calls }, i) => calls() === before[i])
    return silent.map(({ symbol, link: { kind } }) => ({
      kind: 'hook_silent',
      on: `${symbol} (${kind})`,
      expected: 'the program to run when the agent makes an access',
      got: 'it did not run',
      repaired: false,
    }))
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
