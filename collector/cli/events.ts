import { isatty } from 'node:tty'
import { setTimeout } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { readTlsFiles, wantsColor } from '../../exporters/index.ts'
import { ApiClient, ClientError, DEFAULT_SERVER } from '../api/client.ts'
import { GetEventsRequestSchema } from '../api/proto/tetragon/events_pb.js'
import type { GetEventsRequest, GetEventsResponse } from '../api/proto/tetragon/events_pb.js'
import { FineGuidanceSensors } from '../api/proto/tetragon/sensors_pb.js'
import { parseAddress } from '../../config/yaml/addresses.ts'
import { readArguments, UsageError } from './command.ts'
import type { Arguments, Command, Terminal } from './command.ts'
import { plural } from './format.ts'
import { eventsOf, hasInput } from './events/input.ts'
import { lostIn, Printer } from './events/printer.ts'
import { WANTED_OPTIONS, wantedOf } from './events/wanted.ts'

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  ...WANTED_OPTIONS,
  timestamps: { type: 'boolean' },
  color: { type: 'string' },
  server: { type: 'string' },
  'ca-file': { type: 'string' },
  'cert-file': { type: 'string' },
  'key-file': { type: 'string' },
  reconnect: { type: 'boolean' },
} as const

/** Between two attempts to connect. */
const RECONNECT_MS = 2_000

/** `ktrail events`: prints events of a running agent, or of JSON lines on standard input. */
export const eventsCommand: Command = async (args, terminal) => {
  const given = readArguments(args, OPTIONS)
  const [extra] = given.positionals
  if (extra !== undefined) throw new UsageError(`events takes no file, got "${extra}": use ktrail events < FILE`)
  const { values } = given
  const printing = new Printing(printerOf(given, terminal), terminal)
  const wanted = wantedOf(given)
  const request = create(GetEventsRequestSchema, wanted === undefined ? {} : { allowList: [wanted] })
  if (values['server'] === undefined && hasInput()) {
    const skipped = { lines: 0 }
    await printing.all(eventsOf(process.stdin, request, skipped))
    if (skipped.lines > 0) terminal.printError(`ktrail: ${plural(skipped.lines, 'line')} of the input held no event`)
    return 0
  }
  return read(given, request, printing, terminal)
}

function printerOf({ values }: Arguments, { env }: Terminal): Printer {
  const { output = 'json', color = 'auto', timestamps = false } = values
  if (output !== 'json' && output !== 'compact') throw new UsageError(`-o: expected json or compact, got "${output}"`)
  if (color !== 'auto' && color !== 'always' && color !== 'never') {
    throw new UsageError(`--color: expected auto, always or never, got "${color}"`)
  }
  if (output === 'json') return new Printer(undefined)
  return new Printer({ color: wantsColor(color, isatty(1), env), timestamps: timestamps === true })
}

async function clientOf({ values }: Arguments): Promise<ApiClient> {
  const { server = DEFAULT_SERVER, 'ca-file': ca, 'cert-file': cert, 'key-file': key } = values
  const address = parseAddress(String(server))
  if (typeof address === 'string') throw new UsageError(`--server: ${address}, got "${String(server)}"`)
  const files = { ca_file: textOf(ca), cert_file: textOf(cert), key_file: textOf(key) }
  if ('path' in address) return new ApiClient(String(server))
  return new ApiClient(String(server), await readTlsFiles({ ...files, insecure_skip_verify: false }))
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

async function read(
  given: Arguments,
  request: GetEventsRequest,
  printing: Printing,
  { printError }: Terminal,
): Promise<number> {
  const reconnects = given.values['reconnect'] === true
  for (;;) {
    using client = await clientOf(given)
    let why = 'the agent has stopped'
    try {
      if (!(await printing.all(client.stream(FineGuidanceSensors.method.getEvents, request)))) return 0
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== 'UNAVAILABLE' || !reconnects) throw error
      why = error.message
    }
    if (!reconnects) {
      printError(`ktrail: ${why}`)
      return 0
    }
    printError(`ktrail: ${why}; trying again every ${RECONNECT_MS / 1000} s`)
    await setTimeout(RECONNECT_MS)
  }
}

/** Prints what comes; reports losses on standard error. */
class Printing {
  readonly #printer: Printer
  readonly #terminal: Terminal

  constructor(printer: Printer, terminal: Terminal) {
    this.#printer = printer
    this.#terminal = terminal
  }

  /** False when the reader of the output has gone. */
  async all(messages: AsyncIterable<GetEventsResponse>): Promise<boolean> {
    for await (const message of messages) {
      const lost = lostIn(message)
      if (lost > 0n) this.#terminal.printError(`ktrail: ${plural(Number(lost), 'event')} lost here`)
      const line = this.#printer.lineOf(message)
      if (line !== undefined && !(await this.#terminal.print(line))) return false
    }
    return true
  }
}
