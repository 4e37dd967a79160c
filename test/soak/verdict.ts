/** Prints the results of a soak and checks them against its bounds. */
import type { Account } from './account.ts'
import type { Sample } from '../support/load/agent.ts'
import { slopeOf } from './slope.ts'

const MIB = 1 << 20
const WHOLE_MINUTES = 30
/** Private memory in MB. Pages of Node, about 60 MB more in RSS, belong to the kernel, which reclaims them when it needs them. */
const MOST_MB = 120
const MOST_SLOPE = 1
/**
 * MiB/h for runs of less than half an hour: memory moves by some MiB with the phases, which is a slope of tens over ten minutes.
 * A leak of one byte an event at 5,000/s would be 17 MiB/h.
 */
const MOST_SLOPE_SHORT = 60
/** Memory of the pools, the compiled code and the first collections. */
const WARM_UP_SHARE = 0.2
const WARM_UP_SECONDS = 300

export type Accounts = Readonly<Record<'archive' | 'steady' | 'flaky', Account>>

export interface Soak {
  readonly minutes: number
  readonly samples: readonly Sample[]
  readonly last: Sample
  readonly accounts: Accounts
}

/** Prints the figures, a line of JSON among them; returns a message for each that is out of bounds. */
export function verdictOf({ minutes, samples, last, accounts }: Soak): string[] {
  const problems: string[] = []
  const warmUp = Math.min(WARM_UP_SECONDS, minutes * 60 * WARM_UP_SHARE)
  const warm = samples.filter(({ seconds }) => seconds >= warmUp && seconds <= minutes * 60)
  const slopes = Object.fromEntries(
    (['rss', 'private', 'heapUsed', 'external', 'arrayBuffers'] as const).map((what) => [
      what,
      slopeOf(warm.map(({ seconds, memory }) => ({ x: seconds / 3600, y: memory[what] / MIB }))),
    ]),
  )
  const mostOf = (what: 'rss' | 'private'): number => Math.max(...samples.map(({ memory }) => memory[what])) / 1e6
  const most = mostOf('private')
  const bound = minutes >= WHOLE_MINUTES ? MOST_SLOPE : MOST_SLOPE_SHORT
  const { slope = Number.NaN, error = Number.NaN } = slopes['private'] ?? {}
  if (!(slope <= bound)) problems.push(`private memory grows by ${slope.toFixed(2)} MiB/h, expected at most ${bound}`)
  if (!(most <= MOST_MB)) problems.push(`private memory was ${most.toFixed(0)} MB, expected at most ${MOST_MB}`)

  if (last.failure !== undefined) problems.push(last.failure)
  const unbalanced = samples.filter(({ accounting }) =>
    Object.values(accounting).some(({ imbalance }) => imbalance !== 0),
  )
  if (unbalanced.length > 0) problems.push(`the accounting did not balance in ${unbalanced.length} samples`)
  const sinks = Object.entries(accounts).map(([name, account]) => {
    const accounting = last.accounting[name]
    if (accounting === undefined) throw new Error(`the agent has no exporter "${name}"`)
    const { accepted, delivered, dropped, rejected, held } = accounting
    const given = dropped + rejected
    const { duplicates, late } = account
    // Numbers begin with 0; after the last sample came the record of the stop.
    const lost = account.missing(last.published + 1)
    if (accepted !== last.published) problems.push(`${name}: ${accepted} accepted of ${last.published} published`)
    if (lost !== given + held) problems.push(`${name}: ${lost} lost, the accounting knows of ${given + held}`)
    if (delivered + 1 + duplicates < account.distinct) problems.push(`${name}: more arrived than was delivered`)
    if (given > 0) problems.push(`${name}: ${dropped} dropped, ${rejected} rejected`)
    if (name !== 'flaky' && duplicates > 0) problems.push(`${name}: ${duplicates} came twice`)
    return { name, delivered, lost, duplicates, late, held }
  })
  const cpuPercent = (last.cpuMs - (warm[0]?.cpuMs ?? 0)) / 10 / (last.seconds - (warm[0]?.seconds ?? 0))
  const figures = {
    minutes,
    published: last.published,
    rssMostMB: mostOf('rss'),
    privateMostMB: most,
    slopesMiBPerHour: slopes,
    cpuPercent,
    sinks,
  }
  console.log(JSON.stringify(figures))
  console.error(
    `RSS at most ${mostOf('rss').toFixed(0)} MB, of it private ${most.toFixed(0)} MB; slope after ${warmUp.toFixed(0)} s: ${slope.toFixed(2)} ± ${error.toFixed(2)} MiB/h ` +
      `(bound ${bound}); ${cpuPercent.toFixed(1)} % of a core; ${last.published} events`,
  )
  for (const { name, delivered, lost, duplicates, late } of sinks) {
    console.error(`${name}: ${delivered} delivered, ${lost} lost, ${duplicates} twice, ${late} late`)
  }
  return problems
}
