/**
 * Replaces exporters of a running fan-out, whole or not at all. An exporter whose effective config is the same is not touched. A changed one gets
 * a new sink and keeps its buffer, its spool and its counters. A removed one is drained like at a stop.
 *
 *     make all ─▶ pause changed and removed ─▶ open new sinks ─▶ commit: swap ─▶ drain removed, close old ─▶ resume
 *                                                     └ refused ─▶ close new sinks, resume old
 *
 * Sinks are paused before others open, because both may write to one file.
 */
import { isDeepStrictEqual } from 'node:util'
import { effectiveExporter } from '../config/agent/effective.ts'
import type { EffectiveExporter } from '../config/agent/effective.ts'
import type { Config } from '../config/agent/schema.ts'
import type { ExportersContext } from './sinks/context.ts'
import { Numberings } from './contract/numbering.ts'
import { ExportError } from './contract/errors.ts'
import type { FanOut, Route } from './fanout.ts'
import { makeRoute, withSender } from './start.ts'
import type { Made } from './start.ts'
import { systemClock } from '../config/base/time/clock.ts'
import { waitAtMost, within } from '../config/base/time/deadline.ts'
import { openSink } from './sending/chain.ts'
import type { Sink } from './sending/chain.ts'

/** Time for running calls to the old sinks; then they are aborted. */
const PAUSE_MS = 3000
/** Time for the new sinks to open. Meanwhile events of changed exporters are held. */
const OPEN_MS = 10_000

/** An exporter whose sink changes. */
interface Changed {
  readonly route: Route
  readonly sink: Sink
}

/** A reload that no exporter can refuse any more. Call one of both methods once. */
export interface PreparedExporters {
  /** Uses the new exporters for the next events; removed ones have `graceMs` to send their events. Resolves when all are at work. */
  commit(graceMs: number): Promise<void>
  /** Continues unchanged. */
  rollback(): Promise<void>
}

/** Rejects with ExportError when one exporter cannot be made, changed or opened, or with the reason of `stop`; then all continue unchanged. */
export async function prepareExporters(
  fanout: FanOut,
  exporters: Config['exporters'],
  context: ExportersContext,
  stop: AbortSignal,
): Promise<PreparedExporters> {
  const known = new Map(fanout.routes.map((route) => [route.sender.name, route]))
  const tidy = (): void => context.encoders.keepOnly(new Set(fanout.routes.map(({ encoder }) => encoder)))
  const plan = await inTime(planOf(known, exporters, context), stop).catch((error: unknown) => {
    tidy()
    throw error
  })
  const { changed, added, removed } = plan
  const paused = [...changed.map(({ route }) => route), ...removed].map(({ sender }) => sender)
  const rollback = async (): Promise<void> => {
    await Promise.all([...changed.map(({ sink }) => closeSink(sink)), ...added.map(({ sender }) => sender.stop(0))])
    // Not awaited: a hanging disk must not hold up the others.
    for (const sender of paused) void sender.resume()
    tidy()
  }
  try {
    await inTime(Promise.all(paused.map((sender) => named(sender.name, sender.pause(PAUSE_MS)))), stop)
    const opening = [
      ...changed.map(({ route, sink }) => named(route.sender.name, openSink(sink))),
      ...added.map(({ sender }) => named(sender.name, sender.open())),
    ]
    await inTime(Promise.all(opening), stop)
  } catch (error) {
    await rollback()
    throw error
  }
  return {
    rollback,
    commit: async (graceMs) => {
      fanout.replace(plan.routes, graceMs)
      tidy()
      const drained = removed.map(({ sender }) => sender.stop(graceMs))
      await Promise.all([...changed.map(({ route }) => route.sender.retire()), ...drained])
      for (const { sender } of added) sender.run()
      await Promise.all(changed.map(({ route, sink }) => route.sender.resume(sink)))
    },
  }
}

interface Plan {
  readonly routes: readonly Route[]
  readonly changed: readonly Changed[]
  readonly added: readonly Route[]
  readonly removed: readonly Route[]
}

async function planOf(
  known: ReadonlyMap<string, Route>,
  exporters: Config['exporters'],
  context: ExportersContext,
): Promise<Plan> {
  const routes: Route[] = []
  const changed: Changed[] = []
  const { numberings = new Numberings(context.epoch) } = context
  const added: Route[] = []
  for (const [name, written] of Object.entries(exporters)) {
    const before = known.get(name)
    const { config } = effectiveExporter(written, context.env)
    if (before !== undefined && isDeepStrictEqual(before.config, config)) {
      routes.push(before)
      continue
    }
    refuseOtherSpool(name, before?.config, config)
    const made = await named(name, makeRoute(name, written, context, numberings.of(name)))
    if (before === undefined) {
      const route = withSender(name, made, context)
      added.push(route)
      routes.push(route)
    } else {
      refuseOtherEvents(name, before, made)
      const { sink, ...rest } = made
      const route = { ...rest, sender: before.sender }
      changed.push({ route, sink })
      routes.push(route)
    }
  }
  const removed = [...known].filter(([name]) => exporters[name] === undefined).map(([, route]) => route)
  return { routes, changed, added, removed }
}

/** The part that is fixed when a spool is opened. */
function fixed(spool: EffectiveExporter['spool']): object | undefined {
  return spool && { ...spool, max_size: 0, max_age: 0, min_free: 0, use: '' }
}

function refuseOtherSpool(name: string, before: EffectiveExporter | undefined, { spool }: EffectiveExporter): void {
  if (before === undefined) return
  if (isDeepStrictEqual(fixed(before.spool), fixed(spool))) return
  const keys = 'only max_size, max_age, min_free and use of a spool can change while the agent runs'
  throw needsRestart(`${name}.spool`, `; ${keys}`)
}

/** The held events must fit the new sink. */
function refuseOtherEvents(name: string, before: Route, made: Made): void {
  const { exporter } = before.sender
  const now = made.sink.exporter
  if (before.config?.type !== made.config.type) throw needsRestart(`${name}.type`)
  if (exporter.encoding === now.encoding) return
  const why = `its held events are encoded as ${exporter.encoding}, and the new config uses ${now.encoding}`
  throw needsRestart(name, `, because ${why}`)
}

function needsRestart(what: string, why = ''): ExportError {
  const instead = 'restart the agent, or give the exporter another name'
  return new ExportError('EXPORTER_REFUSED', `exporters.${what}: requires a restart${why}: ${instead}`)
}

async function closeSink({ exporter, deadLetters }: Sink): Promise<void> {
  const closed = Promise.all([exporter.stop(), deadLetters?.close()]).then(() => undefined)
  await waitAtMost(closed, PAUSE_MS, systemClock).catch(() => undefined)
}

/** Names the exporter in an error of this work. */
async function named<T>(name: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof ExportError) || error.code === 'EXPORTER_REFUSED') throw error
    throw new ExportError('EXPORTER_REFUSED', `exporters.${name}: ${error.message}`, error)
  }
}

/** Rejects after OPEN_MS, or with the reason of `stop`. The work continues. */
async function inTime<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  const done = work.then((value) => ({ value }))
  done.catch(() => undefined)
  const late = new AbortController()
  const cancel = systemClock.after(OPEN_MS, () => late.abort())
  const found = await within(done, AbortSignal.any([stop, late.signal])).finally(cancel)
  if (found !== undefined) return found.value
  stop.throwIfAborted()
  throw new ExportError('TIMEOUT', `the exporters are not ready within ${OPEN_MS} ms`)
}
