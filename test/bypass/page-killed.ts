/** The part of docs/explanation/who-sees-what.md about SIGKILL: the results of killed.ts. */
import { KILLED_LIMITS } from './reasons.ts'
import { table, wrapped } from './tables.ts'
import type { Killed } from './tools/tool.ts'

/** Reads, and new files, of each phase. */
export const IN_GAP = 50

export interface KilledResult extends Omit<Killed, 'says'> {
  readonly says: string
  /** How many of IN_GAP reads and new files, done while it did not run, it reports by name. */
  readonly reads: number
  readonly made: number
  /** Whether it reports those that came later. */
  readonly goesOn: boolean
}

/** The section of the page; nothing without a result. */
export function killedLines(killed: Readonly<Record<string, KilledResult>>): readonly string[] {
  const rows = Object.entries(killed).map(([name, { again = 'nothing', reads, made, goesOn, says }]) => [
    name,
    again,
    reads,
    made,
    goesOn ? 'yes' : '**no**',
    says,
  ])
  if (rows.length === 0) return []
  return [
    '## After `kill -9`',
    '',
    wrapped(
      `SIGKILL ends the process of a tool. Then a program reads ${IN_GAP} watched files and makes ${IN_GAP} others. Then the test starts the ` +
        'tool again, if its package has a service that does, and more of both follow. The table counts the reads and new files of the time ' +
        'between that the tool reports. *ktrail by name* and *auditd -S* have the same processes as rows here.',
    ),
    '',
    table(
      ['tool', 'started again by', 'reads', 'new files', 'goes on', 'its statement about the time between'],
      false,
      rows,
    ),
    '',
    ...KILLED_LIMITS.map((limit) => wrapped(`- ${limit}`)),
    '',
  ]
}
