import { systemSpoolFiles, verifySpool } from '../../../exporters/index.ts'
import type { SpoolVerdict } from '../../../exporters/index.ts'
import type { Command } from '../command.ts'
import { counted, plural } from '../../../config/base/counts.ts'
import { dataSize, folded } from '../format.ts'
import { damageOf, isUnused, lookAt, problemOf } from './look.ts'
import type { Look } from './look.ts'
import { placesOf } from './paths.ts'

/** `ktrail spool verify`. Fails with 1 when there is damage, or a spool cannot be read. */
export const verifyCommand: Command = async (given, terminal) => {
  const paths = await placesOf(given, terminal)
  let bad = 0
  for (const place of paths) {
    const look = await lookAt(place)
    const found =
      typeof look === 'string' ? look : await linesAbout(look).catch((error: unknown) => problemOf(place.dir, error))
    if (typeof found === 'string') {
      terminal.printError(`ktrail: ${found}`)
      bad++
      continue
    }
    await terminal.print(folded(found.text, terminal.columns))
    if (found.damaged) bad++
  }
  return bad === 0 ? 0 : 1
}

async function linesAbout(look: Look): Promise<{ readonly text: string; readonly damaged: boolean }> {
  const { place, listing, usedBy } = look
  if (isUnused(listing)) return { text: `${place.name}: nothing was spooled yet\n`, damaged: false }
  const found: string[] = []
  let [files, frames, events, bytes] = [0, 0, 0, 0]
  let last: SpoolVerdict | undefined
  for await (const verdict of verifySpool(place.dir, systemSpoolFiles)) {
    files++
    frames += verdict.frames
    events += verdict.goodEvents - verdict.uselessEvents
    bytes += verdict.bytes
    last = verdict
    for (const text of [damageIn(verdict), uselessIn(verdict)]) if (text !== '') found.push(`${verdict.name}: ${text}`)
  }
  // The listing trusts frame headers; verify has checked which frames are whole.
  const checked = last === undefined ? listing : { ...listing, segments: [...listing.segments.slice(0, -1), last] }
  const tailBytes = last?.tailOnly === true ? last.badBytes : 0
  found.unshift(...damageOf({ ...checked, tailBytes }, usedBy !== undefined))
  const sum = `${plural(frames, 'frame')}, ${plural(events, 'event')} in ${plural(files, 'file')} of ${dataSize(bytes)}`
  if (found.length === 0) return { text: `${place.name}: no damage; ${sum}\n`, damaged: false }
  const lines = [...found, `damaged; readable: ${sum}`]
  return { text: lines.map((line) => `${place.name}: ${line}\n`).join(''), damaged: true }
}

/** Damage between frames. In a spool in use, damage at the end is a running append. */
function damageIn({ badBytes, missingEvents, tailOnly, goodEvents }: SpoolVerdict): string {
  if (missingEvents === 0 && (badBytes === 0 || tailOnly)) return ''
  const all = plural(missingEvents + goodEvents, 'event')
  return `${counted(missingEvents)} of ${all} missing, ${dataSize(badBytes)} of incomplete frames`
}

/** Whole frames with unreadable content. */
function uselessIn({ uselessEvents, useless, goodEvents }: SpoolVerdict): string {
  if (uselessEvents === 0) return ''
  return `${counted(uselessEvents)} of ${plural(goodEvents, 'event')} cannot be read: ${useless}`
}
