/** The state of a spool, for all spool commands: its listing, the process that uses it, its damage. */
import { errnoOf } from '../../../config/base/unreadable.ts'
import { ExportError, listSpool, lockHolder, systemSpoolFiles } from '../../../exporters/index.ts'
import type { SpoolListing } from '../../../exporters/index.ts'
import { counted } from '../../../config/base/counts.ts'
import { dataSize } from '../format.ts'
import type { Place } from './paths.ts'

export interface Look {
  readonly place: Place
  readonly listing: SpoolListing
  /** Events that wait for the sink, including unreadable ones. */
  readonly events: number
  /** Pid of the process that uses it, 0 if unknown; undefined if none does. */
  readonly usedBy: number | undefined
  /** Damage that shows without reading everything, one sentence each. */
  readonly damage: readonly string[]
}

/**
 * Returns the state, or a sentence why it cannot be read. A missing folder of an exporter is an empty spool; any other folder without a spool is
 * a mistake.
 */
export async function lookAt(place: Place): Promise<Look | string> {
  try {
    const listing = await listSpool(place.dir, systemSpoolFiles)
    if (place.kind === 'folder' && isUnused(listing))
      return `"${place.dir}" is not a spool: expected files such as cursor and 00000001.seg`
    const usedBy = await lockHolder(place.dir)
    const events = Math.max(0, listing.end - listing.settled)
    return { place, listing, events, usedBy, damage: damageOf(listing, usedBy !== undefined) }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && place.kind === 'exporter')
      return { place, listing: NOTHING, events: 0, usedBy: undefined, damage: [] }
    return problemOf(place.dir, error)
  }
}

/** A sentence why a spool cannot be used. */
export function problemOf(dir: string, error: unknown): string {
  if (error instanceof ExportError) return error.message
  switch (errnoOf(error)) {
    case 'ENOENT':
      return `cannot read the spool "${dir}": no such folder`
    case 'ENOTDIR':
      return `cannot read the spool "${dir}": it is not a folder`
    case 'EACCES':
    case 'EPERM':
      return `cannot read the spool "${dir}": permission denied; run this as root or as the user of the agent`
    default:
      return `cannot read the spool "${dir}": ${error instanceof Error ? error.message : String(error)}`
  }
}

export function processName(pid: number): string {
  return pid > 0 ? `process ${pid}` : 'another process'
}

const NOTHING: SpoolListing = {
  segments: [],
  unreadable: [],
  bytes: 0,
  cursor: 'absent',
  settled: 0,
  durable: 0,
  end: 0,
  tailBytes: 0,
  quarantined: 0,
}

/** There is no spool (yet). */
export function isUnused({ cursor, segments, unreadable, quarantined }: SpoolListing): boolean {
  return cursor === 'absent' && segments.length === 0 && unreadable.length === 0 && quarantined === 0
}

/** While an agent uses the spool, only damage that its appending and removing cannot cause; its own accounting has the rest. */
export function damageOf(listing: SpoolListing, inUse: boolean): readonly string[] {
  const { segments, unreadable, cursor, settled, durable, end, tailBytes } = listing
  const [first, last] = [segments[0], segments.at(-1)]
  const found = unreadable.filter((text) => !inUse || !text.includes('incomplete header'))
  if (inUse) return found
  if (cursor === 'corrupt') found.push('cursor: unreadable; sending will start at the oldest event')
  if (cursor === 'absent' && !isUnused(listing)) found.push('cursor: missing; absent events will be counted as corrupt')
  const begin = first?.from ?? end
  if (cursor !== 'corrupt' && begin > settled)
    found.push(`events ${counted(settled)} to ${counted(begin - 1)}: missing in all segments`)
  const known = last?.to ?? settled
  if (durable > known && durable > settled)
    found.push(
      `events ${counted(Math.max(known, settled))} to ${counted(durable - 1)}: missing at the end, although they were on disk`,
    )
  if (tailBytes > 0) found.push(`${last?.name}: torn end of ${dataSize(tailBytes)}; the next start cuts it off`)
  return found
}
