/** Counts the calls of a policy that is estimated, in bounded memory. */
import { isHookEvent } from '../../../exporters/index.ts'
import type { HookEvent, Timestamp } from '../../../exporters/contract/event.ts'
import { jsonLine } from '../../api/events/json.ts'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import { lostIn } from '../events/printer.ts'
import { Sketch } from '../top/sketch.ts'

/** Longest delay of a message. */
const MOST_APART_MS = 60_000

const msOf = ({ sec, nsec }: Timestamp): number => sec * 1000 + nsec / 1e6

export class Forecast {
  readonly name: string
  /** Events of the policy in the time, a fraction if some calls of a count were outside of it. */
  events = 0
  /** Size of their JSON lines. */
  bytes = 0
  readonly paths: Sketch = new Sketch()
  readonly programs: Sketch = new Sketch()
  seconds = 0
  /** Messages that the command was too slow for. */
  lost = 0
  readonly #aggregates: boolean
  #fromMs = Infinity
  #toMs = Infinity
  #messages = 0

  /** `aggregates`: the policy has counts of its own, so each message is one event. */
  constructor(name: string, aggregates: boolean) {
    this.name = name
    this.#aggregates = aggregates
  }

  /** Events from this time on count. */
  begin(fromMs: number): void {
    this.#fromMs = fromMs
  }

  end(lastedMs: number): void {
    this.seconds = lastedMs / 1000
    this.#toMs = this.#fromMs + lastedMs
  }

  /** Delay of the message if it counts, in ms. Throws if the agent has another clock than this host. */
  add(message: GetEventsResponse, nowMs: number): number | undefined {
    this.lost += Number(lostIn(message))
    const event = toEvent(message)
    if (event === undefined || !isHookEvent(event)) return undefined
    const aheadMs = msOf(event.aggregate?.last ?? event.time) - nowMs
    if (Math.abs(aheadMs) > MOST_APART_MS)
      throw new Error(
        `cannot estimate: expected the agent's clock to be that of this host, got a difference of ${Math.round(aheadMs / 1000)} s; run the command on the agent's host`,
      )
    this.#messages++
    const count = this.#countOf(event)
    if (count === 0) return undefined
    this.events += count
    this.bytes += count * this.#bytesOf(message)
    this.programs.add(event.process.binary, count)
    const paths = event.args.flatMap((argument) => (argument.kind === 'file' ? [argument.path] : []))
    for (const path of new Set(paths)) if (path !== '') this.paths.add(path, count)
    return Math.max(0, -aheadMs)
  }

  #countOf({ time, aggregate }: HookEvent): number {
    const first = msOf(time)
    const last = aggregate === undefined || this.#aggregates ? first : msOf(aggregate.last)
    const count = aggregate === undefined || this.#aggregates ? 1 : aggregate.count
    if (last <= first) return first >= this.#fromMs && first < this.#toMs ? count : 0
    const inside = Math.min(last, this.#toMs) - Math.max(first, this.#fromMs)
    return count * Math.max(0, inside / (last - first))
  }

  #bytesOf({ aggregate, ...message }: GetEventsResponse): number {
    const line = jsonLine(this.#aggregates && aggregate !== undefined ? { ...message, aggregate } : message)
    return Buffer.byteLength(line) + 1
  }

  /** Per second. The messages that the command was too slow for had as many events as the others. */
  rate(amount: number): number {
    return (amount * (1 + this.lost / Math.max(1, this.#messages))) / Math.max(0.001, this.seconds)
  }
}
