/** The state of an agent as lines for a terminal, for `ktrail status` and `ktrail top`. */
import { oneLine } from '../../../config/base/quoting.ts'
import { counted } from '../../../config/base/counts.ts'
import { dataSize, plural, shortened, table, timeText } from '../format.ts'
import type { Row } from '../format.ts'
import type { StatusPage } from './page.ts'

type Exporter = StatusPage['exporters'][number]
type Count = (page: StatusPage) => number

/** Rates per second from two pages of one agent; undefined if it restarted between them. */
function rate(now: StatusPage, before: StatusPage | undefined, count: Count): number | undefined {
  if (before === undefined || before.started !== now.started) return undefined
  const seconds = now.uptime_seconds - before.uptime_seconds
  return seconds > 0 ? Math.max(0, (count(now) - count(before)) / seconds) : undefined
}

/** `1,234/s`; `-` when unknown. */
export function perSecond(value: number | undefined): string {
  if (value === undefined) return '-'
  return `${value > 0 && value < 10 ? value.toFixed(1) : counted(Math.round(value))}/s`
}

/** The readiness, the version, node and kernel of the agent, and the config in effect. */
export function headLines(page: StatusPage): string[] {
  const { ready, readiness, version, kernel, node_name: node, resident_bytes: memory, config, started } = page
  const since = timeText(Date.parse(started))
  const [file = '', ...dropIns] = config.files
  const reloads = Object.entries(config.reloads).filter(([result, count]) => count > 0 && result !== 'unchanged')
  return [
    `${ready ? 'ready' : 'NOT READY'}, up since ${since} (${ageText(page.uptime_seconds)})`,
    ...(ready ? readiness.slice(1) : readiness).map((line) => `  ${line}`),
    `ktrail ${version} on ${node}, kernel ${kernel}, ${dataSize(memory)} of memory`,
    `config ${config.hash.slice(0, 12)} in effect since ${timeText(Date.parse(config.since))}`,
    `  ${file}${dropIns.length === 0 ? '' : ` and ${dropIns.length} drop-in files`}; reloads: ${countsText(Object.fromEntries(reloads))}`,
    ...(config.last_refused === undefined
      ? []
      : [`  refused ${timeText(Date.parse(config.last_refused.time))}: ${config.last_refused.reason}`]),
  ].map(oneLine)
}

const madeAs =
  (type: string): Count =>
  ({ events }) =>
    events.reduce((sum, each) => sum + (each.type === type ? each.count : 0), 0)
const hitsOf =
  (name: string): Count =>
  ({ policies }) =>
    policies.reduce((sum, each) => sum + (each.name === name ? each.events : 0), 0)

const madeOf = ({ events }: StatusPage): number => events.reduce((sum, { count }) => sum + count, 0)
const droppedOf = ({ dropped, rejected }: Exporter): number =>
  [...Object.values(dropped), ...Object.values(rejected)].reduce((sum, count) => sum + count, 0)

/** Events and losses, with their rates. */
export function eventLines(page: StatusPage, before: StatusPage | undefined): string[] {
  const types = [...Map.groupBy(page.events, ({ type }) => type).keys()]
  const parts = types
    .filter((type) => madeAs(type)(page) > 0)
    .map((type) => `${type.replace('process_', '')} ${perSecond(rate(page, before, madeAs(type)))}`)
  const losses = page.lost.filter(({ count }) => count > 0)
  const named = losses.map(({ hook, reason, count }) => `${reason}${hook === '*' ? '' : `(${hook})`} ${counted(count)}`)
  return [
    `events ${perSecond(rate(page, before, madeOf))} (${parts.join(', ') || 'none'}), ${counted(madeOf(page))} in all`,
    `lost in the kernel: ${named.length === 0 ? 'none' : named.join(', ')}`,
    ...page.exporters
      .filter((exporter) => droppedOf(exporter) > 0)
      .map(({ name, dropped, rejected }) => `lost by ${name}: ${countsText({ ...dropped, ...rejected })}`),
  ].map(oneLine)
}

export function exporterTable(
  page: StatusPage,
  before: StatusPage | undefined,
  columns?: number,
  nameWidth = 16,
): string[] {
  const rows = page.exporters.map((exporter): Row => {
    const { name, state, queue_bytes: queued, queue_limit_bytes: limit, spool, delivered, last_error: error } = exporter
    const deliveredIn: Count = ({ exporters }) => exporters.find((each) => each.name === name)?.delivered ?? 0
    return {
      cells: [
        shortened(name, nameWidth),
        state,
        perSecond(rate(page, before, deliveredIn)),
        counted(delivered),
        counted(droppedOf(exporter)),
        `${limit > 0 ? Math.round((100 * queued) / limit) : 0}%`,
        spool === undefined ? '-' : dataSize(spool.bytes),
      ],
      // Most errors are in the head.
      notes: state === 'healthy' || page.readiness.some((line) => line.includes(error)) ? [] : [error],
    }
  })
  return linesOf(
    table(['EXPORTER', 'STATE', 'RATE', 'DELIVERED', 'LOST', 'QUEUE', 'SPOOL'], rows, [2, 3, 4, 5, 6], columns),
  )
}

/** `most`: the others are only counted. */
export function policyTable(
  page: StatusPage,
  before: StatusPage | undefined,
  columns?: number,
  nameWidth = 30,
  most = Infinity,
): string[] {
  const ranked = page.policies
    .map((policy) => ({ policy, hot: rate(page, before, hitsOf(policy.name)) }))
    .toSorted(
      (a, b) =>
        Number(isWrong(b.policy)) - Number(isWrong(a.policy)) ||
        (b.hot ?? 0) - (a.hot ?? 0) ||
        b.policy.events - a.policy.events,
    )
  const rows = ranked
    .slice(0, most)
    .map(({ policy: { name, state, hooks, events, error, lacking, limited }, hot }): Row => ({
      cells: [shortened(name, nameWidth), state, counted(hooks), perSecond(hot), counted(events)],
      notes: [...(error === undefined ? [] : [error]), ...lacking, ...limited],
    }))
  const more = ranked.length - rows.length
  return [
    ...linesOf(table(['POLICY', 'STATE', 'HOOKS', 'RATE', 'HITS'], rows, [2, 3, 4], columns)),
    ...(more === 0 ? [] : [`and ${plural(more, 'more policy')}: ktrail policy list`]),
  ]
}

const isWrong = ({ error, lacking }: StatusPage['policies'][number]): boolean =>
  error !== undefined || lacking.length > 0

function linesOf(text: string): string[] {
  return text.trimEnd().split('\n')
}

function countsText(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).filter(([, count]) => count > 0)
  return parts.length === 0 ? 'none' : parts.map(([what, count]) => `${what} ${counted(count)}`).join(', ')
}

/** `3d 4h`, `2h 5m`, `12s`: two units. */
function ageText(seconds: number): string {
  const units: ReadonlyArray<readonly [string, number]> = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ]
  let left = Math.floor(seconds)
  const parts: string[] = []
  for (const [unit, length] of units) {
    const count = Math.floor(left / length)
    left -= count * length
    if (count > 0 || (unit === 's' && parts.length === 0)) parts.push(`${count}${unit}`)
  }
  return parts.slice(0, 2).join(' ')
}
