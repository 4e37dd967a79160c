/**
 * Sums up a demo: events by kind from the JSON file, losses from the metrics.
 *
 *   node deploy/demo/summary.ts EVENTS.jsonl METRICS
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'

const LOST = 'ktrail_kernel_lost_events_total'

interface Call {
  readonly policy_name?: string
  readonly function_name?: string
}

/** `process_kprobe file-monitoring security_file_permission`, or just the kind. */
function kindOf(line: string): string {
  const record: unknown = JSON.parse(line)
  if (typeof record !== 'object' || record === null) throw new Error(`not an event: ${line}`)
  for (const [key, value] of Object.entries(record)) {
    if (!key.startsWith('process_')) continue
    const { policy_name: policy, function_name: functionName } = value as Call
    return [key, policy, functionName].filter((part) => part !== undefined).join('  ')
  }
  return 'other'
}

/** Sum of a counter over its labels; undefined when the metrics have it not. */
function counter(metrics: string, name: string): number | undefined {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (lines.length === 0) return metrics.includes(`# TYPE ${name} `) ? 0 : undefined
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

const [eventsFile = '', metricsFile = ''] = process.argv.slice(2)
const counts = new Map<string, number>()
for (const line of readFileSync(eventsFile, 'utf8').split('\n')) {
  if (line === '') continue
  const kind = kindOf(line)
  counts.set(kind, (counts.get(kind) ?? 0) + 1)
}
const lost = counter(readFileSync(metricsFile, 'utf8'), LOST)

console.log('\n--- summary')
for (const [kind, count] of [...counts].toSorted()) console.log(`${String(count).padStart(7)}  ${kind}`)
const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
console.log(`${String(total).padStart(7)}  events, lost ${lost ?? `unknown (no ${LOST} in /metrics)`}`)
console.log(`JSON lines: ${path.resolve(eventsFile)}`)
process.exitCode = total > 0 ? 0 : 1
