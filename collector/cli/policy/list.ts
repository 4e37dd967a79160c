/** `ktrail policy list`. */
import { HookState, TracingPolicyMode, TracingPolicyState } from '../../proto/tetragon/sensors_pb.js'
import type { TracingPolicyActionCounters, TracingPolicyStatus } from '../../proto/tetragon/sensors_pb.js'
import type { Command } from '../command.ts'
import { counted } from '../../../config/base/counts.ts'
import { dataSize, dataText, shortened, table } from '../format.ts'
import type { Row } from '../format.ts'
import { clientOf } from '../server.ts'
import { listed } from './named.ts'

export const listCommand: Command = async (given, { print, printError, columns }) => {
  using client = await clientOf(given)
  const policies = await listed(client, given)
  const format = given.text('format')
  const data = await dataText(format, policies.map(dataOf))
  if (data !== undefined) await print(data)
  else if (policies.length === 0) printError('the agent has no policies: add one with ktrail policy add FILE')
  else if (format === 'wide') await print(table([...HEAD, 'MEMORY', 'SOURCE'], policies.map(wideOf), [4, 5]))
  else await print(table(HEAD, policies.map(rowOf), [4], columns))
  return 0
}

const HEAD = ['POLICY', 'STATE', 'MODE', 'HOOKS', 'HITS']

const stateOf = ({ state }: TracingPolicyStatus): string =>
  (TracingPolicyState[state] ?? 'unknown').replace('TP_STATE_', '').toLowerCase()
const modeOf = ({ mode }: TracingPolicyStatus): string =>
  (TracingPolicyMode[mode] ?? 'unknown').replace('TP_MODE_', '').toLowerCase()
const hitsOf = ({ stats }: TracingPolicyStatus): bigint => stats?.actionCounters?.post ?? 0n

function rowOf(policy: TracingPolicyStatus, _: number, all: readonly TracingPolicyStatus[]): Row {
  const { name, namespace, domain } = policy
  const others = all.filter((each) => each.name === name && each.namespace === namespace).length - 1
  return { cells: cellsOf(policy, 26, 24), notes: [...(others === 0 ? [] : [`from ${domain}`]), ...notesOf(policy)] }
}

/** Whole names, and the source and the memory of the kernel as columns. */
function wideOf(policy: TracingPolicyStatus): Row {
  const { domain, kernelMemoryBytes } = policy
  const cells = [...cellsOf(policy, Infinity, Infinity), dataSize(Number(kernelMemoryBytes)), domain]
  return { cells, notes: notesOf(policy) }
}

function cellsOf(policy: TracingPolicyStatus, nameWidth: number, hooksWidth: number): string[] {
  const { name, namespace } = policy
  return [
    shortened(namespace === '' ? name : `${namespace}/${name}`, nameWidth),
    stateOf(policy),
    modeOf(policy),
    shortened(hooksText(policy), hooksWidth),
    counted(Number(hitsOf(policy))),
  ]
}

function notesOf(policy: TracingPolicyStatus): string[] {
  const { error, info, hookStatuses } = policy
  const lacking = hookStatuses.filter(({ state }) => state === HookState.STATUS_CALL_NOT_FOUND)
  return [
    ...doneText(policy),
    ...(error === '' ? [] : [`error: ${error}`]),
    ...(info === '' ? [] : [info]),
    ...(lacking.length === 0
      ? []
      : [`this kernel lacks ${lacking.map(({ hookDescription }) => hookDescription).join(', ')}`]),
  ]
}

/** Actions on matched calls other than events, as `ktrail_hook_actions_total` names them; without zeros. */
function doneOf(counters: TracingPolicyActionCounters | undefined): Array<readonly [string, number]> {
  if (counters === undefined) return []
  const { ktrail } = counters
  const [sigkill, monitorSigkill] = [ktrail?.sigkill ?? 0n, ktrail?.monitorSigkill ?? 0n]
  const all = [
    ['nopost', counters.nopost],
    ['rate_limited', ktrail?.rateLimited ?? 0n],
    ['signal', counters.signal - sigkill],
    ['sigkill', sigkill],
    ['override', counters.override],
    ['notify_enforcer', counters.notifyEnforcer],
    ['monitor_signal', counters.monitorSignal - monitorSigkill],
    ['monitor_sigkill', monitorSigkill],
    ['monitor_override', counters.monitorOverride],
    ['monitor_notify_enforcer', counters.monitorNotifyEnforcer],
    ['not_done', ktrail?.notDone ?? 0n],
  ] as const
  return all.filter(([, count]) => count > 0n).map(([name, count]) => [name, Number(count)])
}

/** `done: 3 override, 12 nopost` */
function doneText({ stats }: TracingPolicyStatus): string[] {
  const done = doneOf(stats?.actionCounters)
  return done.length === 0 ? [] : [`done: ${done.map(([name, count]) => `${counted(count)} ${name}`).join(', ')}`]
}

/** `5 kprobe.multi`, `3 fexit+2 join`. */
function hooksText({ hookStatuses }: TracingPolicyStatus): string {
  const loaded = hookStatuses.filter(({ state }) => state === HookState.STATUS_LOADED)
  const ways = Map.groupBy(loaded, ({ section }) => section)
  if (ways.size === 0) return '0'
  return [...ways].map(([way, hooks]) => `${hooks.length} ${way}`).join('+')
}

export function dataOf(policy: TracingPolicyStatus): object {
  const { name, namespace, domain, error, info, stats, hookStatuses, kernelMemoryBytes } = policy
  return {
    name,
    namespace,
    state: stateOf(policy),
    mode: modeOf(policy),
    source: domain,
    hooks: hookStatuses.map(({ section, hookDescription, state }) => ({
      function: hookDescription,
      attached: state === HookState.STATUS_LOADED ? section : null,
    })),
    hits: Number(hitsOf(policy)),
    kernel_memory_bytes: Number(kernelMemoryBytes),
    actions: Object.fromEntries(doneOf(stats?.actionCounters)),
    selectors: (stats?.selectorActionCounters ?? []).map((each) => ({
      function: each.hook,
      hook: each.hookIndex ?? null,
      selector: each.selectorIndex ?? null,
      label: each.selectorLabel,
      hits: Number(each.actionCounters?.post ?? 0n),
      actions: Object.fromEntries(doneOf(each.actionCounters)),
    })),
    error,
    info,
  }
}
