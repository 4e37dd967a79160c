/**
 * Checks whether hooks are still as the agent left them. Root can take the agent's hooks away without stopping it; then silence would look
 * like safety. Each finding is logged once, counted as a loss, and keeps the agent unready.
 */
import type { Log } from '../host/log.ts'
import { FINDING_KINDS, sentence } from '../kernel/watched/finding.ts'
import type { Finding, FindingKind } from '../kernel/watched/finding.ts'

/** A finding is kept for this time after it was last seen, so that probes see also one that was repaired at once. */
const HOLD_MS = 30_000

interface SeenFinding {
  finding: Finding
  seenMs: number
}

export interface GuardOptions {
  /** Finds tampering, and repairs what it can. */
  readonly check: (nowMs: number) => readonly Finding[]
  readonly log: Log
}

export class Guard {
  readonly #options: GuardOptions
  readonly #held = new Map<string, SeenFinding>()
  /** Findings so far, by kind, also zeros. */
  readonly counts = new Map<FindingKind, number>(FINDING_KINDS.map((kind) => [kind, 0]))

  constructor(options: GuardOptions) {
    this.#options = options
  }

  /** Checks; call it every few seconds. Returns whether it has new findings. */
  look(nowMs: number): boolean {
    const { check, log } = this.#options
    let appeared = false
    for (const finding of check(nowMs)) {
      const key = `${finding.kind} ${finding.on}`
      const held = this.#held.get(key)
      this.#held.set(key, { finding, seenMs: nowMs })
      // A change after a repair is a new one.
      if (held !== undefined && !finding.repaired) continue
      appeared = true
      this.counts.set(finding.kind, (this.counts.get(finding.kind) ?? 0) + 1)
      log.error({ ...finding }, `tampering: ${sentence(finding)}`)
    }
    for (const [key, { finding, seenMs }] of this.#held) {
      if (nowMs - seenMs < HOLD_MS) continue
      this.#held.delete(key)
      log.info({ kind: finding.kind, on: finding.on }, 'the tampering is gone')
    }
    return appeared
  }

  /** Present findings, and findings that ended less than half a minute ago. */
  findings(): Finding[] {
    return [...this.#held.values()].map(({ finding }) => finding)
  }
}
