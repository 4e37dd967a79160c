import { table, wrapped } from './tables.ts'

/** The part of docs/explanation/who-sees-what.md about costs: the instructions that cost.ts has counted. */

/** Calls of each kind, and files of each folder. */
export const CALLS = 5000

export interface Workload {
  readonly name: string
  readonly call: 'pread' | 'open'
  readonly isWatched: boolean
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'pread elsewhere', call: 'pread', isWatched: false },
  { name: 'open elsewhere', call: 'open', isWatched: false },
  { name: 'watched pread', call: 'pread', isWatched: true },
  { name: 'watched open', call: 'open', isWatched: true },
]

/** Instructions of a call. */
export interface Cost {
  /** In the calling thread. */
  readonly call: number
  /** In all other threads. */
  readonly tool: number
}

export interface ToolCost {
  /** By workload. */
  readonly calls?: Readonly<Record<string, Cost>>
  /** Instructions of a check of CALLS files, by a tool that compares states. */
  readonly scan?: number
}

export interface Costs {
  readonly kernel: string
  /** The file system. */
  readonly on: string
  readonly costs: Readonly<Record<string, ToolCost>>
}

/** The name of the measurement without any tool. */
export const NONE = 'none'
/** Smaller differences are those of two runs without a tool. */
const NOISE = 50

const shown = (instructions: number): string =>
  (Math.abs(instructions) < NOISE ? 0 : Math.round(instructions)).toLocaleString('en')

/** The section of the page; nothing without a measurement. */
export function costLines(names: readonly string[], costs: Costs['costs']): readonly string[] {
  const { [NONE]: { calls: bare = {} } = {} } = costs
  const rows = names.flatMap((name) => {
    const { calls, scan } = costs[name] ?? {}
    const cells = WORKLOADS.map((workload) => {
      const [with_, without] = [calls?.[workload.name], bare[workload.name]]
      if (with_ === undefined || without === undefined) return '–'
      return `${shown(with_.call - without.call)} + ${shown(with_.tool - without.tool)}`
    })
    const check = scan === undefined ? '–' : `${(scan / 1e6).toFixed(0)} million`
    return calls === undefined && scan === undefined ? [] : [[name, ...cells, check]]
  })
  if (rows.length === 0) return []
  const uncounted = names.filter((name) => costs[name] === undefined)
  const of = (name: string): string => shown(bare[name]?.call ?? 0)
  return [
    '## Cost',
    '',
    wrapped(
      'Instructions that a tool adds to a call, counted by the emulator: in the calling thread + in all other threads. ' +
        `A \`pread\` of a byte takes ${of('pread elsewhere')} without a tool, and an \`open\` with its \`close\` ${of('open elsewhere')}. ` +
        '*Elsewhere* is a file on the same file system, outside of the watched folder: the cost of a miss. ' +
        `*Check* is a comparison of ${CALLS.toLocaleString('en')} files. Between checks, these tools cost nothing.`,
    ),
    '',
    ...(uncounted.length === 0 ? [] : [wrapped(`Not counted, because it failed: ${uncounted.join(', ')}.`), '']),
    table(['tool', ...WORKLOADS.map(({ name }) => name), 'check'], true, rows),
    '',
    wrapped(
      `Each figure is that of ${CALLS.toLocaleString('en')} calls: the median in the calling thread, the mean in the others. ` +
        `The guest has one processor. Differences below ${NOISE} are shown as 0. The right part of a watched call is the CPU of its event.`,
    ),
    '',
  ]
}
