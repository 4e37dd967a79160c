import { repairSpool, systemSpoolFiles } from '../../../exporters/index.ts'
import type { SpoolRepair } from '../../../exporters/index.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { plural } from '../../../config/base/counts.ts'
import { dataSize, folded } from '../format.ts'
import { lookAt, problemOf, processName } from './look.ts'
import { placeOf } from './paths.ts'

/** `ktrail spool repair`. Fails with 1 while a process uses the spool, or when there is none. */
export const repairCommand: Command = async (given, terminal) => {
  const [word, extra] = given.positionals
  if (word === undefined || extra !== undefined) throw new UsageError('expected: ktrail spool repair NAME|DIR')
  const place = await placeOf(word, given, terminal)
  const problem = (text: string): number => {
    terminal.printError(`ktrail: ${text}`)
    return 1
  }
  // Checked first, so that no lock or quarantine is created in a folder that is not a spool.
  const look = await lookAt({ ...place, kind: 'folder' })
  if (typeof look === 'string') return problem(look)
  if (look.usedBy !== undefined)
    return problem(
      `cannot repair the spool "${place.dir}": ${processName(look.usedBy)} is using it; stop that one first`,
    )
  try {
    const done = linesOf(await repairSpool(place.dir, systemSpoolFiles, terminal.nowMs()))
    await terminal.print(folded(done.map((line) => `${place.name}: ${line}\n`).join(''), terminal.columns))
    return 0
  } catch (error) {
    return problem(problemOf(place.dir, error))
  }
}

function linesOf(report: SpoolRepair): readonly string[] {
  const { segments, bytes, tornBytes, quarantined, removed, spent, cursor, damaged } = report
  const done: string[] = []
  if (tornBytes > 0) done.push(`cut off ${dataSize(tornBytes)} of an incomplete frame`)
  for (const text of quarantined) done.push(`moved to quarantine/: ${text}`)
  if (removed.length > 0) done.push(`deleted from quarantine/ to make room: ${plural(removed.length, 'older file')}`)
  if (spent > 0) done.push(`removed ${plural(spent, 'file')} whose events were all accepted`)
  if (done.length === 0) done.push('nothing to repair')
  for (const { name, missingEvents } of damaged)
    done.push(`${name}: ${plural(missingEvents, 'event')} are lost to damage; the agent will count them as corrupt`)
  if (cursor === 'corrupt')
    done.push('cursor: unreadable; the next start sends from the oldest event and writes a new cursor')
  if (cursor === 'absent') done.push('cursor: missing; the next start writes a new one')
  return [...done, `${plural(segments, 'file')}, ${dataSize(bytes)} left`]
}
