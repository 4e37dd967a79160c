/** Sums up a demo: events by kind from its JSON lines, losses from the agent's metrics, and what to try next. */
import { constants } from 'node:os'

const LOST = 'ktrail_kernel_lost_events_total'

/** The keys of an event that a summary needs; absent if its kind lacks them. */
interface Call {
  readonly policy_name?: string
  readonly function_name?: string
  readonly process?: { readonly binary: string; readonly uid: number }
  readonly args?: ReadonlyArray<{ readonly string_arg?: string }>
  readonly return?: { readonly int_arg?: number }
}

/** `[process_kprobe, its content]` of each line. */
function calls(jsonLines: string): ReadonlyArray<readonly [string, Call]> {
  const lines = jsonLines.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const found = Object.entries(JSON.parse(line) as Record<string, Call>).find(([key]) => key.startsWith('process_'))
    return found ?? ['other', {}]
  })
}

/** A line for each refused open: the call, its result, and the user. */
export function denied(jsonLines: string): string[] {
  return calls(jsonLines).flatMap(([, call]) => {
    const result = call.return?.int_arg ?? 0
    if (result >= 0) return []
    const [name = 'an error'] = Object.entries(constants.errno).find(([, number]) => number === -result) ?? []
    const what = call.args?.[0]?.string_arg ?? ''
    return `   denied: ${call.function_name}("${what}") = ${result} ${name}, uid ${call.process?.uid}`
  })
}

/** Sum of a counter over its labels; undefined if the metrics lack it. */
function counter(metrics: string, name: string): number | undefined {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (lines.length === 0) return metrics.includes(`# TYPE ${name} `) ? 0 : undefined
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** At most 80 columns and 20 lines. `metrics`: the answer to GET /metrics. `lastedMs`: the time of the whole demo. */
export function summary(jsonLines: string, metrics: string, lastedMs: number): string {
  const counts = new Map<string, number>()
  for (const [kind, { policy_name: policy, function_name: name }] of calls(jsonLines)) {
    const row = [kind, policy, name].filter((part) => part !== undefined).join('  ')
    counts.set(row, (counts.get(row) ?? 0) + 1)
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  if (total === 0) throw new Error('no events: expected some of the workload; see `ktrail check --kernel`')
  const lost = counter(metrics, LOST) ?? `unknown (no ${LOST} in /metrics)`
  return [
    `--- summary, after ${Math.round(lastedMs / 1000)} s`,
    ...[...counts].toSorted().map(([row, count]) => `${String(count).padStart(5)}  ${row}`),
    `${String(total).padStart(5)}  events, lost ${lost}`,
    '',
    'Next:',
    '  less build/demo/events.jsonl       the same events as JSON lines',
    '  ./ktrail check --kernel            features of this kernel',
    '  sudo ./ktrail run                  the agent, with policies of its library',
  ].join('\n')
}
