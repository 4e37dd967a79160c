import type { Command } from '../command.ts'
import { counted, plural } from '../../../config/base/counts.ts'
import { dataSize, dataText, shortened, table, timeText } from '../format.ts'
import type { Row } from '../format.ts'
import { lookAt } from './look.ts'
import type { Look } from './look.ts'
import { placesOf } from './paths.ts'

/** Longer names are cut, except with -o wide; the folder's line shows them. */
const NAME_WIDTH = 18

/** `ktrail spool ls`. Fails with 1 when a spool cannot be looked at, not for damage. */
export const lsCommand: Command = async (given, terminal) => {
  const looks = await Promise.all((await placesOf(given, terminal)).map(lookAt))
  // The spool of a removed exporter matters only while it contains something.
  const found = looks
    .filter((look) => typeof look !== 'string')
    .filter(({ place, events, damage }) => place.kind !== 'orphan' || events > 0 || damage.length > 0)
  const format = given.text('format')
  const data = await dataText(format, found.map(dataOf))
  const width = format === 'wide' ? Infinity : NAME_WIDTH
  if (data !== undefined) await terminal.print(data)
  else if (found.length > 0)
    await terminal.print(
      table(
        HEAD,
        found.map((look) => rowOf(look, width)),
        [1, 2, 3],
        format === 'wide' ? undefined : terminal.columns,
      ),
    )
  const problems = looks.filter((look) => typeof look === 'string')
  for (const problem of problems) terminal.printError(`ktrail: ${problem}`)
  return problems.length === 0 ? 0 : 1
}

const HEAD = ['SPOOL', 'EVENTS', 'SIZE', 'FILES', 'OLDEST FILE', 'USED BY']

function rowOf({ place, listing, events, usedBy, damage }: Look, nameWidth: number): Row {
  const { segments, settled, durable, end, quarantined } = listing
  const oldest = segments[0]
  const notes = [place.dir]
  if (end > 0) notes.push(`accepted up to ${counted(settled)} of ${counted(end)}${safe(durable, usedBy)}`)
  if (place.kind === 'orphan') notes.push('no exporter of the config has this name, so these events are not sent')
  if (quarantined > 0) notes.push(`quarantine/: ${plural(quarantined, 'unreadable file')} from earlier`)
  notes.push(...damage.map((text) => `damage: ${text}`))
  return {
    cells: [
      shortened(place.name, nameWidth),
      counted(events),
      dataSize(listing.bytes),
      counted(segments.length),
      oldest === undefined ? '-' : timeText(oldest.createdMs),
      usedBy === undefined ? '-' : usedBy > 0 ? String(usedBy) : 'yes',
    ],
    notes,
  }
}

/** Only while no agent uses the spool, because the cursor file is rewritten when events are taken, not at each sync. */
function safe(durable: number, usedBy: number | undefined): string {
  return usedBy === undefined ? `, synced to disk up to ${counted(durable)}` : ''
}

function dataOf({ place, listing, events, usedBy, damage }: Look): object {
  const { segments, bytes, settled, durable, end, quarantined } = listing
  const oldest = segments[0]
  return {
    name: place.name,
    dir: place.dir,
    kind: place.kind,
    events,
    bytes,
    segments: segments.length,
    oldest: oldest === undefined ? null : timeText(oldest.createdMs),
    settled,
    durable: usedBy === undefined ? durable : null,
    end,
    used_by: usedBy ?? null,
    quarantined,
    damage,
  }
}
