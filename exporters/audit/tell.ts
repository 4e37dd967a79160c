/** Finds the loss record that reports each gap. */
import type { LossAbout } from '../contract/described.ts'
import type { NumberRange } from '../contract/event.ts'

/** Missing numbers, and the reason in the loss record that reports them. */
export interface ReportedGap extends NumberRange {
  readonly reason: string
}

interface Explained {
  readonly told: readonly ReportedGap[]
  readonly untold: readonly NumberRange[]
  /** Events that the loss records of the run count beyond the missing numbers. */
  readonly overcounted: number
}

/**
 * `gaps` and `losses` by run, oldest first. A loss record reports as many missing numbers as it counts: those in its range; without a
 * range, any in its own run or an earlier one, whose events a spool may have kept.
 */
export function tellGaps(
  gaps: ReadonlyArray<readonly NumberRange[]>,
  losses: ReadonlyArray<readonly LossAbout[]>,
): Explained[] {
  const runs = gaps.map((own) => ({ told: [] as ReportedGap[], untold: [...own], overcounted: 0 }))
  const tell = (run: number, loss: LossAbout, count: number): number => {
    const explained = runs[run]
    if (explained === undefined) return count
    const { first, last } = loss.numbers ?? { first: 0, last: Infinity }
    let left = count
    const rest: NumberRange[] = []
    for (const gap of explained.untold) {
      const from = Math.max(gap.first, first)
      const to = Math.min(gap.last, last, from + left - 1)
      if (to < from) {
        rest.push(gap)
        continue
      }
      left -= to - from + 1
      explained.told.push({ first: from, last: to, reason: loss.reason })
      if (gap.first < from) rest.push({ first: gap.first, last: from - 1 })
      if (to < gap.last) rest.push({ first: to + 1, last: gap.last })
    }
    explained.untold = rest
    return left
  }
  const exceeded = (run: number, left: number): void => {
    const explained = runs[run]
    if (explained !== undefined) explained.overcounted += left
  }
  // The precise ones first.
  for (const [i, own] of losses.entries()) {
    for (const loss of own) if (loss.numbers !== undefined) exceeded(i, tell(i, loss, loss.count))
  }
  for (const [i, own] of losses.entries()) {
    for (const loss of own) {
      let left = loss.numbers === undefined ? loss.count : 0
      for (let run = i; run >= 0 && left > 0; run--) left = tell(run, loss, left)
      exceeded(i, left)
    }
  }
  return runs
}
