/** Metrics of hooked functions, and of what their programs cost. */
import { DONE } from '../../kernel/actions/acted.ts'
import type { DoneByHook } from '../../kernel/actions/acted.ts'
import { enabledOf } from '../../policies/registry.ts'
import type { Policies } from '../../policies/registry.ts'
import type { Runs } from '../../kernel/watched/watched-link.ts'
import type { MetricsPage } from './page.ts'

export interface HookSources {
  /** Of the process programs and of all functions, by name. */
  readonly runs: () => ReadonlyMap<string, Runs>
  /** Whether the kernel counts runs and their time. */
  readonly keepsStatistics: () => boolean
  /** Events by policy and function. */
  readonly hookEvents: () => ReadonlyMap<string, ReadonlyMap<string, number>>
  /** What was done about matched calls. */
  readonly done: () => DoneByHook
  readonly policies: Pick<Policies, 'list'>
  /** Those that are in the count of another call's event. */
  readonly aggregated: () => ReadonlyMap<string, ReadonlyMap<string, number>>
}

export function addHookMetrics(
  page: MetricsPage,
  { runs, keepsStatistics, hookEvents, done, policies, aggregated }: HookSources,
): void {
  page.counter('ktrail_hook_events_total', 'Events by policy and hooked function.', ['policy', 'hook'], (put) => {
    for (const [policy, counts] of hookEvents()) for (const [hook, count] of counts) put({ policy, hook }, count)
  })
  page.counter(
    'ktrail_hook_suppressed_total',
    'Calls that matched and had no event: the same was reported within the rateLimit, or the policy says NoPost. Absent without these.',
    ['policy', 'hook'],
    (put) => {
      for (const [policy, hooks] of done()) {
        for (const [hook, { nopost, rate_limited }] of hooks) put({ policy, hook }, nopost + rate_limited)
      }
    },
  )
  page.counter(
    'ktrail_hook_actions_total',
    'Actions of policies that were carried out, and those that were not. Absent without matchActions.',
    ['policy', 'hook', 'action'],
    (put) => {
      for (const [policy, hooks] of done()) {
        for (const [hook, counts] of hooks) for (const action of DONE) put({ policy, hook, action }, counts[action])
      }
    },
  )
  page.counter(
    'ktrail_selector_actions_total',
    'What selectors with a label did about calls: post is an event, the others are those of ktrail_hook_actions_total. Absent for those that have not matched.',
    ['policy', 'hook', 'selector', 'label', 'action'],
    (put) => {
      for (const status of enabledOf(policies)) {
        for (const { hook, selector, label, posts, done: counts } of status.done.filter((each) => each.label !== '')) {
          const { symbol = '' } = status.hooks[hook] ?? {}
          const labels = { policy: status.id.name, hook: symbol, selector: String(selector), label }
          put({ ...labels, action: 'post' }, posts)
          for (const action of DONE) put({ ...labels, action }, counts[action])
        }
      }
    },
  )
  page.counter(
    'ktrail_hook_aggregated_total',
    'Calls without an event of their own: they are in the count of an event of a policy with aggregate. Absent without these.',
    ['policy', 'hook'],
    (put) => {
      for (const [policy, counts] of aggregated()) for (const [hook, count] of counts) put({ policy, hook }, count)
    },
  )
  page.gauge(
    'ktrail_kernel_statistics',
    '1 while the kernel counts runs of BPF programs and their time (sysctl kernel.bpf_stats_enabled), else 0.',
    [],
    (put) => put({}, keepsStatistics() ? 1 : 0),
  )
  page.counter(
    'ktrail_hook_runs_total',
    'Calls of a hooked function that ran its program, for all policies on it together. Counts only while ktrail_kernel_statistics is 1.',
    ['hook'],
    (put) => {
      for (const [hook, { runs: count }] of runs()) put({ hook }, count)
    },
  )
  page.counter(
    'ktrail_hook_run_seconds_total',
    'Time that these runs took. Counts only while ktrail_kernel_statistics is 1.',
    ['hook'],
    (put) => {
      for (const [hook, { runNs }] of runs()) put({ hook }, runNs / 1e9)
    },
  )
}
