/** Finds the loss record that reports each gap. */
import { firstIndex } from '../../config/base/search.ts'
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
  // The precise ones first.
  for (const [i, run] of runs.entries()) {
    for (const loss of losses[i] ?? []) if (loss.numbers !== undefined) run.overcounted += tell(run, loss, loss.count)
  }
  /** Runs that may have untold gaps. */
  const open: typeof runs = []
  for (const [i, run] of runs.entries()) {
    open.push(run)
    for (const loss of losses[i] ?? []) {
      let left = loss.numbers === undefined ? loss.count : 0
      for (let next = open.at(-1); next !== undefined && left > 0; next = open.at(-1)) {
        left = tell(next, loss, left)
        if (left > 0) open.pop()
      }
      run.overcounted += left
    }
  }
  return runs
}

/** Tells up to `count` missing numbers of a run; returns how many it lacks. */
function tell(
  { told, untold }: { readonly told: ReportedGap[]; readonly untold: NumberRange[] },
  { reason, numbers: { first, last } = { first: 0, last: Infinity } }: LossAbout,
  count: number,
): number {
  if (last < first) return count
  // Gaps ascend. Looking at all of them for each loss would take hours for a hostile sink.
  const start = firstIndex(untold.length, (i) => (untold[i]?.last ?? 0) >= first)
  const rest: NumberRange[] = []
  let left = count
  let end = start
  for (let gap = untold[end]; gap !== undefined && gap.first <= last && left > 0; gap = untold[++end]) {
    const from = Math.max(gap.first, first)
    const to = Math.min(gap.last, last, from + left - 1)
    left -= to - from + 1
    told.push({ first: from, last: to, reason })
    if (gap.first < from) rest.push({ first: gap.first, last: from - 1 })
    if (to < gap.last) rest.push({ first: to + 1, last: gap.last })
  }
  untold.splice(start, end - start, ...rest)
  return left
}
