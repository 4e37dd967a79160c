/** What of the spool's own work fails: counted each time, told when it begins to fail and when it works again. */

import type { SpoolStats } from '../../contract/accounting.ts'

/** `cursor`: to store how far the sink has taken the events. */
export type Work = keyof SpoolStats['failures']

/** `error` is what the system said; '' when it works again. */
export type ReportFailure = (work: Work, error: string) => void

export class Failures {
  readonly failures: Record<Work, number> = { read: 0, write: 0, sync: 0, cursor: 0 }
  readonly #failing = new Map<Work, string>()
  readonly #report: ReportFailure

  constructor(report: ReportFailure) {
    this.#report = report
  }

  failed(work: Work, { message }: Error): void {
    this.failures[work]++
    const known = this.#failing.has(work)
    this.#failing.set(work, message)
    if (!known) this.#report(work, message)
  }

  worked(work: Work): void {
    if (this.#failing.delete(work)) this.#report(work, '')
  }

  /** Of what fails now; '' when nothing does. */
  get lastError(): string {
    return [...this.#failing.values()].at(-1) ?? ''
  }
}
