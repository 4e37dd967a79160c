/** Counts the events that policies would have: each is attached for a while as a private policy. */
import { setTimeout } from 'node:timers/promises'
import { formatDuration } from '../../../config/base/units.ts'
import { ClientError } from '../../api/client.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Arguments, Terminal } from '../command.ts'
import { plural } from '../format.ts'
import { watchWith } from '../watch/through.ts'
import { Forecast } from './forecast.ts'
import type { PolicyFile } from './read.ts'

/** Equal calls are counted for a second before their message comes. */
const SETTLED_MS = 1_500
/** Longest wait for messages of the time that is over. */
const LATE_MS = 60_000

/** All at once, through the running agent. Ctrl-C ends it earlier. */
export async function estimateAll(
  files: readonly PolicyFile[],
  forMs: number,
  given: Arguments,
  terminal: Terminal,
): Promise<Forecast[]> {
  const stop = new AbortController()
  const interrupted = (): void => stop.abort()
  process.once('SIGINT', interrupted)
  try {
    return await Promise.all(files.map((file) => estimated(file, forMs, stop.signal, given, terminal)))
  } finally {
    // If one was refused, the others end.
    stop.abort()
    process.off('SIGINT', interrupted)
  }
}

async function estimated(
  { file, text, policy: { name, hooks } }: PolicyFile,
  forMs: number,
  stop: AbortSignal,
  given: Arguments,
  terminal: Terminal,
): Promise<Forecast> {
  const note = (line: string): void => terminal.printError(`ktrail: policy ${name}: ${line}`)
  const windowMs = Math.max(0, ...hooks.map(({ aggregate }) => aggregate?.windowMs ?? 0))
  if (windowMs >= forMs)
    note(
      `expected --for above its window of ${formatDuration(windowMs)}, got ${formatDuration(forMs)}: events are missing`,
    )
  const forecast = new Forecast(name, windowMs > 0)
  const end = new AbortController()
  let expectedMs = 0
  const settle = async (): Promise<void> => {
    const began = performance.now()
    const signal = AbortSignal.any([stop, end.signal])
    // The whole time is what was asked for: a timer may fire a fraction of a millisecond early.
    forecast.end(await setTimeout(forMs, forMs, { signal }).catch(() => Math.min(forMs, performance.now() - began)))
    const over = performance.now()
    while (!end.signal.aborted && performance.now() < Math.min(Math.max(over + SETTLED_MS, expectedMs), over + LATE_MS))
      await setTimeout(100)
    if (expectedMs > over + LATE_MS) note('expected its last messages within a minute: some are missing')
    end.abort()
  }
  let settled: Promise<void> | undefined
  const opened = (): void => {
    note(`counting its events for ${formatDuration(forMs)}; Ctrl-C ends earlier`)
    forecast.begin(terminal.nowMs())
    settled = settle()
  }
  const events = async (messages: AsyncIterable<GetEventsResponse>): Promise<void> => {
    for await (const message of messages) {
      const lateMs = forecast.add(message, terminal.nowMs())
      // A busy agent sends few at a time, with pauses.
      if (lateMs !== undefined) expectedMs = performance.now() + SETTLED_MS + 2 * lateMs
    }
    if (!end.signal.aborted) note('the agent has stopped: the estimate ends here')
  }
  const watch = { policy: () => Promise.resolve(text), limited: true, lacks: '', signals: [], estimate: true } as const
  try {
    await watchWith({ ...watch, opened, events, end: end.signal }, given, terminal)
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    // The agent does not know the name of the file.
    throw new ClientError(error.code, error.message.replace(/^watch(?=:\d)/gm, file), error, error.noAgent)
  } finally {
    end.abort()
    await settled
  }
  if (forecast.lost > 0) note(`${plural(forecast.lost, 'message')} lost, counted as the average of the others`)
  return forecast
}
