/**
 * Events of the command's own agent, then those of an agent that takes its place, without a loss: both watch at the change, and each event comes
 * from one of them by its time. Equal calls that are counted across the change may be in the counts of both.
 */
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Terminal } from '../command.ts'
import { lostIn } from '../events/printer.ts'
import type { OwnAgent } from './own-agent.ts'

type Messages = AsyncIterable<GetEventsResponse>

/** Until an agent that starts, or refuses, is tried again. */
const AGAIN_MS = 1_000
/** Both agents watch for this long before and after the change. */
const CHANGE_MS = 200
/** Two agents convert the same instant by clocks of their own. */
const CLOCKS_MS = 2

/** `later`: watches through the agent that has the address now. */
export async function* continued(
  events: Messages,
  later: (end: AbortSignal, attached: () => void) => Messages,
  own: OwnAgent,
  { printError }: Terminal,
): AsyncGenerator<GetEventsResponse> {
  // Bounded: the streams wait for the reader.
  const out = new PassThrough({ objectMode: true })
  const over = new AbortController()
  let changeMs = Infinity
  const pass = async (from: Messages, isPart: (message: GetEventsResponse) => boolean): Promise<void> => {
    for await (const message of from)
      if ((lostIn(message) > 0n || isPart(message)) && !out.write(message)) await once(out, 'drain')
  }
  const before = async (): Promise<void> => {
    await pass(events, ({ time }) => msOf(time) < changeMs).finally(() => changeMs < Infinity || over.abort())
  }
  const isLater = ({ time, aggregate }: GetEventsResponse): boolean =>
    Math.max(msOf(time), msOf(aggregate?.lastTime)) >= changeMs - CLOCKS_MS
  const attached = (): void => {
    printError('ktrail: an agent runs here now: this command goes on with it')
    changeMs = Date.now() + CHANGE_MS
    own.replaced(2 * CHANGE_MS)
  }
  const after = async (): Promise<void> => {
    await Promise.race([own.left, once(over.signal, 'abort')])
    for (;;) {
      await pass(later(over.signal, attached), isLater).catch((error: unknown) => {
        if (changeMs < Infinity) throw error
      })
      if (changeMs < Infinity || over.signal.aborted) return
      await pause(AGAIN_MS)
    }
  }
  const both = Promise.allSettled([before(), after()])
  void both.then(() => out.end())
  try {
    yield* out as Messages
    for (const each of await both) if (each.status === 'rejected') throw each.reason
  } finally {
    over.abort()
  }
}

function msOf(time: Timestamp | undefined): number {
  return Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6
}
