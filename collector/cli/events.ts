import { isatty } from 'node:tty'
import { setTimeout } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { wantsColor } from '../../exporters/index.ts'
import { ClientError } from '../api/client.ts'
import { GetEventsRequestSchema } from '../proto/tetragon/events_pb.js'
import type { GetEventsRequest } from '../proto/tetragon/events_pb.js'
import { FineGuidanceSensors } from '../proto/tetragon/sensors_pb.js'
import { UsageError } from './command.ts'
import type { Arguments, Command, Terminal } from './command.ts'
import { plural } from '../../config/base/counts.ts'
import { bytesOf, eventsOf, Tail } from './events/input.ts'
import { asCompact, asJson, printEvents } from './events/printer.ts'
import type { LineOf } from './events/printer.ts'
import { wantedOf } from './events/wanted.ts'
import { clientOf } from './server.ts'
import { timeOf } from './table/time.ts'

/** Pause between two attempts to connect. */
const RECONNECT_MS = 2_000

/** `ktrail events`: prints events of a running agent, or of files of JSON lines. */
export const eventsCommand: Command = async (given, terminal) => {
  const lineOf = given.text('format') === 'compact' ? compactAs(given, terminal) : asJson
  const wanted = wantedOf(given)
  const request = create(GetEventsRequestSchema, wanted === undefined ? {} : { allowList: [wanted] })
  const sinceMs = timeOf(given, 'since', terminal.nowMs())
  const tail = tailOf(given)
  if (given.positionals.length > 0) {
    if (given.text('server') !== undefined || given.flag('reconnect'))
      throw new UsageError('expected either files or an agent (--server, --reconnect), got both')
    const skipped = { lines: 0 }
    const messages = eventsOf(bytesOf(given.positionals), request, skipped, sinceMs)
    if (tail === undefined) await printEvents(messages, lineOf, terminal)
    else {
      await printEvents(messages, lineOf, { ...terminal, print: async (line) => (tail.add(line), true) })
      if (tail.cut) terminal.printError('ktrail: fewer events, because these exceed 64 MiB')
      for (const line of tail.lines) if (!(await terminal.print(line))) break
    }
    if (skipped.lines > 0) terminal.printError(`ktrail: ${plural(skipped.lines, 'line')} of the input without an event`)
    return 0
  }
  if (sinceMs !== undefined || tail !== undefined)
    throw new UsageError(
      '--since and --tail apply only to files, because an agent sends no past events: name the file of an exporter',
    )
  return read(given, request, lineOf, terminal)
}

/** `--tail`; throws UsageError. */
function tailOf(given: Arguments): Tail | undefined {
  const text = given.text('tail')
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new UsageError(`--tail: expected a number of events from 1 to 99999, got "${text}"`)
  return new Tail(Number(text))
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
