/** Metrics of hooked functions, and of the cost of their programs. */
import { DONE } from '../../kernel/actions/acted.ts'
import type { DoneByHook } from '../../kernel/actions/acted.ts'
import { enabledOf } from '../../policies/registry.ts'
import type { Policies } from '../../policies/registry.ts'
import type { Runs } from '../../kernel/watched/watched-link.ts'
import { byKeys, single } from './fills.ts'
import type { FillsOf } from './page.ts'

export interface HookSources {
  /** Runs of the process programs and of all functions, by name. */
  readonly runs: () => ReadonlyMap<string, Runs>
  /** Whether the kernel counts runs and their time. */
  readonly keepsStatistics: () => boolean
  /** Events by policy and function. */
  readonly hookEvents: () => ReadonlyMap<string, ReadonlyMap<string, number>>
  /** Actions on matched calls. */
  readonly done: () => DoneByHook
  readonly policies: Pick<Policies, 'list'>
  /** Calls that are in the count of another call's event. */
  readonly aggregated: () => ReadonlyMap<string, ReadonlyMap<string, number>>
}

type HookFills = FillsOf<'ktrail_hook_' | 'ktrail_selector_' | 'ktrail_kernel_statistics'>

export function hookMetrics({ runs, keepsStatistics, hookEvents, done, policies, aggregated }: HookSources): HookFills {
  return {
    ktrail_hook_events_total: byKeys(['policy', 'hook'], hookEvents),
    ktrail_hook_suppressed_total: (put) => {
      for (const [policy, hooks] of done()) {
        for (const [hook, { nopost, rate_limited }] of hooks) put({ policy, hook }, nopost + rate_limited)
      }
    },
    ktrail_hook_actions_total: (put) => {
      for (const [policy, hooks] of done()) {
        for (const [hook, counts] of hooks) for (const action of DONE) put({ policy, hook, action }, counts[action])
      }
    },
    ktrail_selector_actions_total: (put) => {
      for (const status of enabledOf(policies)) {
        for (const { hook, selector, label, posts, done: counts } of status.done.filter((each) => each.label !== '')) {
          const { symbol = '' } = status.hooks[hook] ?? {}
          const labels = { policy: status.id.name, hook: symbol, selector: String(selector), label }
          put({ ...labels, action: 'post' }, posts)
          for (const action of DONE) put({ ...labels, action }, counts[action])
        }
      }
    },
    ktrail_hook_aggregated_total: byKeys(['policy', 'hook'], aggregated),
    ktrail_kernel_statistics: single(() => Number(keepsStatistics())),
    ktrail_hook_runs_total: (put) => {
      for (const [hook, { runs: count }] of runs()) put({ hook }, count)
    },
    ktrail_hook_run_seconds_total: (put) => {
      for (const [hook, { runNs }] of runs()) put({ hook }, runNs / 1e9)
    },
  }
}
