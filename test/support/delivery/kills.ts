/** Kills an agent repeatedly on the same folders, and records the events that it published and the ones that must arrive. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { Seeded } from '../../simulation/spool/random.ts'
import { AgentProcess } from './child.ts'
import { durable, promised } from './promise.ts'
import type { Keeping, Span } from './promise.ts'

/** Numbers that a run may use: those of the next run begin above. */
export const RUN_NUMBERS = 1_000_000
const DRAIN_MS = 60_000

export interface KillPlan {
  readonly kills: number
  /** Chooses the moments. */
  readonly seed: number
  readonly eventsPerSecond: number
  /** How each exporter keeps events, by name. */
  readonly keeping: Readonly<Record<string, Keeping>>
  readonly yaml: (run: number) => string
  /** Called before each start; the last run is not killed. */
  readonly before: (run: number, last: boolean) => void
  /** Called after each end. */
  readonly dead: (run: number) => void
}

export interface Toll {
  /** Numbers of each run. */
  readonly published: readonly Span[]
  readonly total: number
  /** Events that must arrive, by exporter. */
  readonly promises: ReadonlyMap<string, readonly Span[]>
  /** By exporter: events published that, by the last report before the kill, a power cut could still lose. */
  readonly notDurable: ReadonlyMap<string, number>
  /** Kills before the start was complete. */
  readonly early: number
}

/** Runs the plan; then a run that publishes nothing, delivers all and stops. */
export async function killAgain(plan: KillPlan): Promise<Toll> {
  const random = new Seeded(plan.seed)
  const published: Span[] = []
  const promises = new Map(Object.keys(plan.keeping).map((name): [string, Span[]] => [name, []]))
  const notDurable = new Map<string, number>()
  let early = 0

  const conclude = (run: number, { started, latest, publishing }: AgentProcess): void => {
    plan.dead(run)
    const first = run * RUN_NUMBERS
    published.push({ from: first, to: publishing })
    if (started === undefined) early++
    if (started === undefined || latest === undefined) return
    for (const [name, keeping] of Object.entries(plan.keeping)) {
      const [before, now] = [started[name], latest.exporters[name]]
      assert.ok(before !== undefined && now !== undefined, `no exporter ${name}`)
      promises.get(name)?.push(...promised(keeping, first, before, now))
      notDurable.set(name, (notDurable.get(name) ?? 0) + publishing - first - durable(before, now))
    }
  }

  for (let run = 0; run < plan.kills; run++) {
    plan.before(run, false)
    await using agent = start(plan, run, plan.eventsPerSecond)
    if (random.chance(0.2)) await pause(random.int(600))
    else {
      await agent.whenStarted()
      // Some runs last long enough to show that events delivered long before a kill are not sent again.
      await pause(random.chance(0.15) ? 2500 + random.int(1000) : random.int(900))
    }
    await agent.kill()
    agent.check()
    conclude(run, agent)
  }
  plan.before(plan.kills, true)
  await using last = start(plan, plan.kills, 0)
  await last.whenStarted()
  const empty = (): boolean =>
    Object.values(last.latest?.exporters ?? {}).every(({ accounting }) => accounting.heldEvents === 0)
  await last.until('all is delivered', () => last.latest !== undefined && empty(), DRAIN_MS)
  await last.stop(5000)
  conclude(plan.kills, last)
  const total = published.reduce((sum, { from, to }) => sum + to - from, 0)
  return { published, total, promises, notDurable, early }
}

/** The name of a run; names sort as the runs do. */
export function epochOf(run: number): string {
  return `r${String(run).padStart(4, '0')}`
}

/** In every report the accounting must balance, and no event may be dropped or rejected. */
function start({ yaml }: KillPlan, run: number, eventsPerSecond: number): AgentProcess {
  const first = run * RUN_NUMBERS
  return new AgentProcess({
    yaml: yaml(run),
    epoch: epochOf(run),
    from: first,
    eventsPerSecond,
    onReport: ({ to, exporters }, started) => {
      for (const [name, { accounting }] of Object.entries(exporters)) {
        const { accepted, dropped, rejected } = accounting
        assert.equal(
          accepted,
          (started[name]?.accounting.accepted ?? 0) + to - first,
          `${name}: the accounting does not contain all events`,
        )
        const gone = [...Object.values(dropped), ...Object.values(rejected)].some((events) => events > 0)
        assert.ok(!gone, `${name}: ${JSON.stringify(accounting)}`)
      }
    },
  })
}
