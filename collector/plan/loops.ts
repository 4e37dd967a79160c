/** Policies on a kernel without bpf_loop. */
import type { Policy, WithoutLoops } from '../../config/policy/policy.ts'
import { WITHOUT_LOOPS, fitWithoutLoops } from '../../config/policy/without-loops.ts'
import type { FittedPolicy } from '../../config/policy/without-loops.ts'
import type { Report } from './functions/misfits.ts'

/** The policy as far as it permits; the rest is reported. */
export function withoutLoops(written: Policy, report: Report): FittedPolicy {
  const fitted = fitWithoutLoops(written)
  for (const { aggregate, selectors } of fitted.policy.hooks) {
    if (aggregate)
      report(aggregate.at, refusal('aggregate', 'atomic operations and bpf_loop: remove it', 'no-aggregate'))
    const filter = selectors.flatMap(({ matchArgs }) => matchArgs).find((each) => each.class === 'identity')
    if (filter) report(filter.at, refusal(filter.operator, 'bpf_loop: match the path', 'by-name'))
  }
  return fitted
}

const refusal = (what: string, needs: string, way: WithoutLoops): string =>
  `${what} requires Linux 5.17, for ${needs} on this kernel, or annotate the policy with ${WITHOUT_LOOPS}: ${way}`
