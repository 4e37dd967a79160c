import { setTimeout } from 'node:timers/promises'
import { nodeNameOf } from '../../../config/agent/effective.ts'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import {
  anyPieceOf,
  copySpool,
  ExportError,
  linesOf,
  ofTimes,
  openSpool,
  systemSpoolFiles,
} from '../../../exporters/index.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import type { Encoded, TimeRange } from '../../../exporters/index.ts'
import { UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { readConfig } from '../config-file.ts'
import { timeOf } from '../table/time.ts'
import { plural } from '../../../config/base/counts.ts'
import { lookAt, problemOf, processName } from './look.ts'
import type { Look } from './look.ts'
import { placeOf } from './paths.ts'
import { Target } from './send.ts'

/** Bytes that are read and sent between two removals. */
const STRETCH_BYTES = 8 << 20

/** Wait after a failed read: it may work a moment later. After three failures the spool skips the damaged bytes and counts them. */
const PAUSE_MS = 200
/** More failures in a row are not due to the device but to permissions, descriptors or memory, and need manual action. */
const MOST_FAILURES = 10

/** Thrown when the reader of standard output has gone. */
class Enough extends Error {}

/** `ktrail spool replay`. Fails with 1 when not all events could be read, or the sink refused some. */
export const replayCommand: Command = async (given, terminal) => {
  const to = given.text('to')
  const [all, remove] = [given.flag('all'), given.flag('remove')]
  const [word, extra] = given.positionals
  if (word === undefined || extra !== undefined)
    throw new UsageError('expected: ktrail spool replay NAME|DIR [--to EXPORTER | -o json]')
  if (given.text('format') !== undefined && to !== undefined)
    throw new UsageError('expected either --to EXPORTER or -o json, got both')
  const partly = given.text('since') !== undefined || given.text('until') !== undefined || all
  if (remove && (to === undefined || partly))
    throw new UsageError(
      '--remove requires --to EXPORTER, and excludes --since, --until and --all, because it removes the oldest events first',
    )
  const range = {
    sinceMs: timeOf(given, 'since', terminal.nowMs()) ?? -Infinity,
    untilMs: timeOf(given, 'until', terminal.nowMs()) ?? Infinity,
  }
  const place = await placeOf(word, given, terminal)
  const look = await lookAt(place)
  const fail = (text: string): number => {
    terminal.printError(`ktrail: ${text}`)
    return 1
  }
  if (typeof look === 'string') return fail(look)
  const from = all ? 0 : look.listing.settled
  try {
    if (to === undefined) return await print(look, from, range, terminal)
    const { config, file } = await readConfig(given, terminal)
    const { exporters } = config
    if (!Object.hasOwn(exporters, to))
      throw new UsageError(`--to: no exporter "${to}" in ${file}${didYouMean(to, Object.keys(exporters))}`)
    if (to === place.name && place.kind === 'exporter')
      throw new UsageError(`--to: this spool belongs to the exporter "${to}", so the agent sends its events`)
    if (remove && look.usedBy !== undefined)
      return fail(
        `cannot remove events from "${place.dir}": ${processName(look.usedBy)} is using it; stop that one first`,
      )
    await using target = await Target.start(
      to,
      { config, file, nodeName: nodeNameOf(config, terminal.env).value },
      terminal,
    )
    const missing = await (remove ? drain(look, target) : send(look, from, range, target))
    const { text, lost } = target.summary()
    terminal.printError(text)
    return Math.max(lost > 0 ? 1 : 0, reportMissing(missing, look, terminal))
  } catch (error) {
    if (error instanceof ExportError && error.code !== 'EXPORTER_REFUSED') return fail(error.message)
    if (error instanceof Error && 'code' in error && error.code !== 'STDOUT' && 'syscall' in error)
      return fail(problemOf(place.dir, error))
    throw error
  }
}

/** Prints to standard output. */
async function print(look: Look, from: number, range: TimeRange, terminal: Terminal): Promise<number> {
  try {
    const missing = await each(look, from, range, async (part) => {
      if (!(await terminal.print(linesOf(part)))) throw new Enough()
    })
    return reportMissing(missing, look, terminal)
  } catch (error) {
    if (error instanceof Enough) return 0
    throw error
  }
}

async function send(look: Look, from: number, range: TimeRange, target: Target): Promise<number> {
  const missing = await each(look, from, range, (part) => target.give(part, look.place.name))
  await target.settle()
  return missing
}

/** Calls `give` with every part from position `from` on. Returns the number of damaged events. */
async function each(
  { place, listing, usedBy }: Look,
  from: number,
  range: TimeRange,
  give: (part: Encoded) => Promise<void>,
): Promise<number> {
  let [first, unreadable] = [Infinity, 0]
  const read = await copySpool(place.dir, systemSpoolFiles, { from, to: listing.end }, async (frame) => {
    first = Math.min(first, frame.seq)
    const piece = anyPieceOf(frame)
    if ('why' in piece) {
      unreadable += frame.count
      return
    }
    const part = ofTimes(piece, range)
    if (part !== undefined) await give(part)
  })
  // If an agent uses the spool, missing events have been sent.
  const begin = Math.max(from, listing.segments[0]?.from ?? from)
  const missing = usedBy === undefined ? listing.end - Math.min(begin, first) - read : 0
  return unreadable + Math.max(0, missing)
}

/** Sends and removes: acks each stretch after the sink has settled it. */
async function drain({ place }: Look, target: Target): Promise<number> {
  let missing = 0
  await using spool = await openSpool(
    { dir: place.dir, fsync: 'never', max_size: Number.MAX_SAFE_INTEGER, min_free: 0, segment_size: 1 << 20 },
    { files: systemSpoolFiles, clock: systemClock, random: Math.random, onLoss: ({ events }) => (missing += events) },
  )
  for (let failures = 0; ;) {
    const read = await spool.next(STRETCH_BYTES)
    if (read.status === 'empty') return missing
    if (read.status === 'failed') {
      if (++failures === MOST_FAILURES) throw new ExportError('IO', problemOf(place.dir, read.error), read.error)
      await setTimeout(PAUSE_MS)
      continue
    }
    failures = 0
    for (const frame of read.frames) {
      const piece = anyPieceOf(frame)
      if (!('why' in piece)) await target.give(piece, place.name)
      else if (piece.foreign) throw notRemoved(frame.count, place.dir, piece.why)
      else missing += frame.count
    }
    await target.settle()
    spool.ack(read.token)
  }
}

/** Events that another release can read must not be removed. */
function notRemoved(events: number, dir: string, why: string): ExportError {
  return new ExportError(
    'UNUSABLE',
    `the spool "${dir}" has ${plural(events, 'event')} that this version cannot read: ${why}`,
  )
}

function reportMissing(missing: number, { place }: Look, { printError }: Terminal): number {
  if (missing === 0) return 0
  printError(
    `ktrail: ${plural(missing, 'event')} of the spool "${place.dir}" cannot be read; ktrail spool verify shows more`,
  )
  return 1
}
