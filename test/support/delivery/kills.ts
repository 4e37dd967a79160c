/** Kills an agent again and again on the same folders, and keeps what it published and promised. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { Seeded } from '../../simulation/spool/random.ts'
import { AgentProcess } from './child.ts'
import { durable, promised } from './promise.ts'
import type { Keeping, Span } from './promise.ts'

/** Numbers that a run may use: the next one begins above. */
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
  /** Before each start; the last one is the one that is not killed. */
  readonly before: (run: number, last: boolean) => void
  /** After each end. */
  readonly dead: (run: number) => void
}

export interface Toll {
  /** Numbers of each run. */
  readonly published: readonly Span[]
  readonly total: number
  /** By exporter: what must arrive. */
  readonly promises: ReadonlyMap<string, readonly Span[]>
  /** By exporter: events published and, by the last report before the kill, not yet safe from a power cut. */
  readonly notDurable: ReadonlyMap<string, number>
  /** Kills before the start had ended. */
  readonly early: number
}

/** Runs the plan; then a run that publishes nothing, delivers all and stops. */
export async function killAgain(plan: KillPlan): Promise<Toll> {
  const random = new Seeded(plan.seed)
  const published: Span[] = []
  const promises = new Map(Object.keys(plan.keeping).map((name): [string, Span[]] => [name, []]))
  const notDurable = new Map<string, number>()
  let early = 0

  const bury = (run: number, { started, latest, publishing }: AgentProcess): void => {
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
      // Some live long enough to show that what was delivered long before a kill is not sent again.
      await pause(random.chance(0.15) ? 2500 + random.int(1000) : random.int(900))
    }
    await agent.kill()
    agent.check()
    bury(run, agent)
  }
  plan.before(plan.kills, true)
  await using last = start(plan, plan.kills, 0)
  await last.whenStarted()
  const empty = (): boolean =>
    Object.values(last.latest?.exporters ?? {}).every(({ accounting }) => accounting.heldEvents === 0)
  await last.until('all is delivered', () => last.latest !== undefined && empty(), DRAIN_MS)
  await last.stop(5000)
  bury(plan.kills, last)
  const total = published.reduce((sum, { from, to }) => sum + to - from, 0)
  return { published, total, promises, notDurable, early }
}

/** Every report must explain every event, and none may be dropped or refused. */
function start({ yaml }: KillPlan, run: number, eventsPerSecond: number): AgentProcess {
  const first = run * RUN_NUMBERS
  return new AgentProcess({
    yaml: yaml(run),
    epoch: `r${run}`,
    from: first,
    eventsPerSecond,
    onReport: ({ to, exporters }, started) => {
      for (const [name, { accounting }] of Object.entries(exporters)) {
        const { accepted, dropped, rejected } = accounting
        assert.equal(
          accepted,
          (started[name]?.accounting.accepted ?? 0) + to - first,
          `${name}: not all are in the books`,
        )
        const gone = [...Object.values(dropped), ...Object.values(rejected)].some((events) => events > 0)
        assert.ok(!gone, `${name}: ${JSON.stringify(accounting)}`)
      }
    },
  })
}
