import { isatty } from 'node:tty'
import { setTimeout } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { wantsColor } from '../../exporters/index.ts'
import { ClientError } from '../api/client.ts'
import { GetEventsRequestSchema } from '../proto/tetragon/events_pb.js'
import type { GetEventsRequest } from '../proto/tetragon/events_pb.js'
import { FineGuidanceSensors } from '../proto/tetragon/sensors_pb.js'
import type { Arguments, Command, Terminal } from './command.ts'
import { plural } from '../../config/base/counts.ts'
import { eventsOf, hasInput, noticingSilence } from './events/input.ts'
import { asCompact, asJson, printEvents } from './events/printer.ts'
import type { LineOf } from './events/printer.ts'
import { wantedOf } from './events/wanted.ts'
import { clientOf } from './server.ts'

/** Standard input that sends nothing for this long is noticed: it may be a pipe without a writer. */
const SILENCE_MS = 3_000
const INSTEAD = 'To read events from the agent, use ktrail events < /dev/null, or --server'
const NOTICES = {
  silent: `ktrail: standard input is a pipe without data so far; still reading. ${INSTEAD}`,
  empty: `ktrail: standard input was empty. ${INSTEAD}`,
}

/** Pause between two attempts to connect. */
const RECONNECT_MS = 2_000

/** `ktrail events`: prints events of a running agent, or of JSON lines on standard input. */
export const eventsCommand: Command = async (given, terminal) => {
  const lineOf = given.text('output') === 'compact' ? compactAs(given, terminal) : asJson
  const wanted = wantedOf(given)
  const request = create(GetEventsRequestSchema, wanted === undefined ? {} : { allowList: [wanted] })
  if (given.text('server') === undefined && hasInput()) {
    const skipped = { lines: 0 }
    const input = noticingSilence(process.stdin, SILENCE_MS, (what) => terminal.printError(NOTICES[what]))
    await printEvents(eventsOf(input, request, skipped), lineOf, terminal)
    if (skipped.lines > 0) terminal.printError(`ktrail: ${plural(skipped.lines, 'line')} of the input without an event`)
    return 0
  }
  return read(given, request, lineOf, terminal)
}

function compactAs(given: Arguments, { env }: Terminal): LineOf {
  const color = wantsColor(given.text('color') ?? 'auto', isatty(1), env)
  return asCompact({ color, timestamps: given.flag('timestamps') })
}

async function read(given: Arguments, request: GetEventsRequest, lineOf: LineOf, terminal: Terminal): Promise<number> {
  const reconnects = given.flag('reconnect')
  for (;;) {
    using client = await clientOf(given)
    let why = 'the agent has stopped'
    try {
      const messages = client.stream(FineGuidanceSensors.method.getEvents, request)
      if (!(await printEvents(messages, lineOf, terminal))) return 0
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== 'UNAVAILABLE' || !reconnects) throw error
      why = error.message
    }
    if (!reconnects) {
      terminal.printError(`ktrail: ${why}`)
      return 0
    }
    terminal.printError(`ktrail: ${why}; retrying every ${RECONNECT_MS / 1000} s`)
    await setTimeout(RECONNECT_MS)
  }
}
