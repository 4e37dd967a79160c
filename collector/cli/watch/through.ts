/** Events of a policy that lives as long as the call: through the agent of this host, or one of the command's own. */
import { ClientError } from '../../api/client.ts'
import { Watches } from '../../proto/ktrail/watches_pb.js'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Arguments, Terminal } from '../command.ts'
import { plural } from '../format.ts'
import { clientOf } from '../server.ts'
import { continued } from './continued.ts'
import type { OwnAgent } from './own-agent.ts'

/** Without an agent, the attempt has failed by then. */
const CONNECTED_MS = 200
const SHOWN_MS = 10_000
const CALLS = /"call":"\w+"/g

export interface Watch {
  /** `limited`: what every kernel can do. */
  readonly policy: (limited: boolean) => Promise<string>
  readonly limited: boolean
  /** The sentence before the kernel's reason. */
  readonly lacks: string
  /** Called when the policy is attached. */
  readonly opened: (limited: boolean) => void
  readonly events: (messages: AsyncIterable<GetEventsResponse>) => Promise<unknown>
  /** Ends the watch. */
  readonly end?: AbortSignal
  /** These stop an agent of the command's own. */
  readonly signals: readonly NodeJS.Signals[]
  /** The policy is counted, and does nothing else. */
  readonly estimate?: boolean
  /** Goes on with an agent that takes the place of the command's own. Else its own stays: another one does not know the past of processes. */
  readonly changesAgent?: boolean
}

export function watchThrough(watch: Watch, given: Arguments, terminal: Terminal): Promise<void> {
  return throughAgent((own) => watchWith(watch, given, terminal, own), watch.signals, given, terminal)
}

/** Runs `run`, and again with an agent of the command's own if none runs. */
export async function throughAgent(
  run: (own?: OwnAgent) => Promise<void>,
  signals: Watch['signals'],
  given: Arguments,
  terminal: Terminal,
): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof ClientError && error.noAgent) || given.text('server') !== undefined) throw error
    terminal.printError('ktrail: no agent runs here: starting one for this command')
    const { withOwnAgent } = await import('./own-agent.ts')
    using starting = shown('starting an agent', SHOWN_MS, terminal)
    await withOwnAgent((own) => (starting[Symbol.dispose](), run(own)), signals)
  }
}

/** Needs a running agent, which may be the command's `own`. */
export async function watchWith(watch: Watch, given: Arguments, terminal: Terminal, own?: OwnAgent): Promise<void> {
  using client = await clientOf(given)
  const attempt = async (limited: boolean): Promise<void> => {
    const yaml = await watch.policy(limited)
    const request = { yaml, estimate: watch.estimate === true }
    const functions = new Set(yaml.match(CALLS)).size
    using attaching = request.estimate
      ? undefined
      : shown(`attaching to ${plural(functions, 'function')}…`, CONNECTED_MS, terminal)
    const opened = (): void => {
      attaching?.[Symbol.dispose]()
      watch.opened(limited)
    }
    const events = eventsOf(client.stream(Watches.method.watch, request, undefined, watch.end), opened)
    if (own === undefined || watch.changesAgent !== true) return void (await watch.events(events))
    const later = async function* (end: AbortSignal, attached: () => void): AsyncGenerator<GetEventsResponse> {
      using other = await clientOf(given)
      yield* eventsOf(other.stream(Watches.method.watch, request, undefined, end), attached)
    }
    await watch.events(continued(events, later, own, terminal))
  }
  try {
    await attempt(watch.limited)
  } catch (error) {
    if (watch.limited || !(error instanceof ClientError) || error.code !== 'FAILED_PRECONDITION') throw error
    terminal.printError(`ktrail: ${watch.lacks}: ${error.message}`)
    await attempt(true)
  }
}

/** Says what the command waits for, after `afterMs`, and then with the time every SHOWN_MS, until it is disposed of. */
function shown(text: string, afterMs: number, { printError }: Terminal): Disposable {
  const first = setTimeout(printError, afterMs, `ktrail: ${text}`)
  let ms = 0
  const timer = setInterval(() => printError(`ktrail: still ${text} ${(ms += SHOWN_MS) / 1000} s`), SHOWN_MS)
  return { [Symbol.dispose]: () => (clearTimeout(first), clearInterval(timer)) }
}

/** An empty message says that the policy is attached. Events of its first functions can come before it. */
async function* eventsOf(
  messages: AsyncIterable<GetEventsResponse>,
  attached: () => void,
): AsyncGenerator<GetEventsResponse> {
  for await (const message of messages) {
    if (message.event.case === undefined) attached()
    else yield message
  }
}
