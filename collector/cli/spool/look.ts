/** One look at a spool: its listing, who uses it, what is wrong with it, as every spool command needs them. */
import { errnoOf } from '../../../config/yaml/unreadable.ts'
import { ExportError, listSpool, lockHolder, systemSpoolFiles } from '../../../exporters/index.ts'
import type { SpoolListing } from '../../../exporters/index.ts'
import { counted, dataSize } from '../format.ts'
import type { Place } from './paths.ts'

export interface Look {
  readonly place: Place
  readonly listing: SpoolListing
  /** Waiting for the sink, with those that cannot be read. */
  readonly events: number
  /** The process that uses it, 0 where that is not known; undefined when none does. */
  readonly usedBy: number | undefined
  /** What is wrong, as far as it shows without reading everything; a sentence each. */
  readonly damage: readonly string[]
}

/**
 * Looks, or explains in a sentence why that is not possible. The folder of an exporter that was never started is empty, any
 * other folder without a spool is a mistake.
 */
export async function lookAt(place: Place): Promise<Look | string> {
  try {
    const listing = await listSpool(place.dir, systemSpoolFiles)
    if (place.kind === 'folder' && isUnused(listing))
      return `"${place.dir}" is no spool: expected files such as cursor and 00000001.seg`
    const usedBy = await lockHolder(place.dir)
    const events = Math.max(0, listing.end - listing.settled)
    return { place, listing, events, usedBy, damage: damageOf(listing, usedBy !== undefined) }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && place.kind === 'exporter')
      return { place, listing: NOTHING, events: 0, usedBy: undefined, damage: [] }
    return problemOf(place.dir, error)
  }
}

/** Why a spool cannot be used, as a sentence. */
export function problemOf(dir: string, error: unknown): string {
  if (error instanceof ExportError) return error.message
  switch (errnoOf(error)) {
    case 'ENOENT':
      return `cannot read the spool "${dir}": no such folder`
    case 'ENOTDIR':
      return `cannot read the spool "${dir}": it is no folder`
    case 'EACCES':
    case 'EPERM':
      return `cannot read the spool "${dir}": permission denied; run this as root or as the user of the agent`
    default:
      return `cannot read the spool "${dir}": ${error instanceof Error ? error.message : String(error)}`
  }
}

/** `process 123`, for sentences. */
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

/** No spool, or none yet. */
export function isUnused({ cursor, segments, unreadable, quarantined }: SpoolListing): boolean {
  return cursor === 'absent' && segments.length === 0 && unreadable.length === 0 && quarantined === 0
}

/** While an agent appends and removes, only what is surely not its doing: its own accounts know the rest. */
export function damageOf(listing: SpoolListing, inUse: boolean): readonly string[] {
  const { segments, unreadable, cursor, settled, durable, end, tailBytes } = listing
  const [first, last] = [segments[0], segments.at(-1)]
  const found = unreadable.filter((text) => !inUse || !text.includes('torn at birth'))
  if (inUse) return found
  if (cursor === 'corrupt') found.push('cursor: unreadable; sending will begin at the oldest event')
  if (cursor === 'absent' && !isUnused(listing))
    found.push('cursor: missing; what is not here will be counted as corrupt')
  const begin = first?.from ?? end
  if (cursor !== 'corrupt' && begin > settled)
    found.push(`events ${counted(settled)} to ${counted(begin - 1)}: missing, no segment has them`)
  const known = last?.to ?? settled
  if (durable > known && durable > settled)
    found.push(
      `events ${counted(Math.max(known, settled))} to ${counted(durable - 1)}: missing at the end, they were on disk`,
    )
  if (tailBytes > 0) found.push(`${last?.name}: torn end of ${dataSize(tailBytes)}; the next start cuts it off`)
  return found
}
