/** The output of `ktrail top`, as lines that fit a terminal. */
import { oneLine } from '../../../config/base/quoting.ts'
import { counted } from '../../../config/base/counts.ts'
import { folded } from '../format.ts'
import { eventLines, exporterTable, headLines, perSecond, policyTable } from '../status/screen.ts'
import type { StatusPage } from '../status/page.ts'
import type { Screen } from './screen.ts'
import type { Hot } from './sketch.ts'

export const SORTS = ['rate', 'total', 'name'] as const

/** Settings that keys change. */
export interface Choice {
  readonly sort: (typeof SORTS)[number]
  /** Part of the names to show; '' for all. */
  readonly filter: string
  readonly paused: boolean
  /** The filter is being typed. */
  readonly typing: boolean
}

export const FIRST_CHOICE: Choice = { sort: 'rate', filter: '', paused: false, typing: false }

export interface Seen {
  readonly page: StatusPage
  readonly before: StatusPage | undefined
  readonly binaries: readonly Hot[]
  readonly paths: readonly Hot[]
  /** Message about the live events; '' if there is none. */
  readonly note: string
}

const KEYS = 'q quit   p pause   s sort   / filter'

/** Exactly `rows` lines of at most `columns` characters. */
export function screenLines(seen: Seen, choice: Choice, { columns, rows }: Screen['size']): string[] {
  const { page, before } = seen
  const matches = (name: string): boolean => name.includes(choice.filter)
  const policies = page.policies.filter(({ name }) => matches(name))
  const upper = [
    ...headLines(page).slice(0, Math.max(3, Math.floor(rows / 6))),
    '',
    ...eventLines(page, before).slice(0, Math.max(3, Math.floor(rows / 8))),
    '',
    ...exporterTable(page, before).slice(0, Math.max(3, Math.floor(rows / 5))),
    '',
    ...policyTable({ ...page, policies }, before).slice(0, Math.max(3, Math.floor(rows / 5))),
    '',
  ]
  const left = rows - upper.length - 1
  const half = Math.floor((columns - 2) / 2)
  const binaries = hotLines('BINARIES', seen.binaries, choice, half, left)
  const paths = hotLines('PATHS', seen.paths, choice, columns - half - 2, left)
  const lower = Array.from({ length: Math.max(0, left) }, (_, i) =>
    `${(binaries[i] ?? '').padEnd(half)}  ${paths[i] ?? ''}`.trimEnd(),
  )
  return [...upper, ...lower]
    .slice(0, rows - 1)
    .concat(statusLine(seen, choice))
    .map((line) => line.slice(0, columns))
}

/** The screen for a pipe, with any number of lines. */
export function plainText(seen: Seen, columns?: number): string {
  const parts = [
    headLines(seen.page),
    eventLines(seen.page, seen.before),
    exporterTable(seen.page, seen.before, columns),
    policyTable(seen.page, seen.before, columns),
    hotLines('BINARIES', seen.binaries, FIRST_CHOICE, columns ?? 80, 11),
    hotLines('PATHS', seen.paths, FIRST_CHOICE, columns ?? 80, 11),
    ...(seen.note === '' ? [] : [[oneLine(seen.note)]]),
  ]
  return folded(`${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`, columns)
}

function statusLine({ note }: Seen, { sort, filter, paused, typing }: Choice): string {
  if (typing) return `filter: ${oneLine(filter)}_   Enter keeps it, Esc clears it`
  const now = `by ${sort}${filter === '' ? '' : `, filter "${oneLine(filter)}"`}${paused ? ', PAUSED' : ''}`
  return `${KEYS}   ${now}${note === '' ? '' : `   ${oneLine(note)}`}`
}

/** A title and the hottest names, cut at their beginning, because the end of a path is more useful. */
function hotLines(
  title: string,
  list: readonly Hot[],
  { sort, filter }: Choice,
  width: number,
  most: number,
): string[] {
  const rows = list
    .filter(({ key }) => key.includes(filter))
    .toSorted((a, b) => {
      if (sort === 'name') return a.key < b.key ? -1 : 1
      return sort === 'total' ? b.total - a.total : b.rate - a.rate
    })
    .slice(0, Math.max(0, most - 1))
  const room = width - 19
  const line = (name: string, rate: string, total: string): string =>
    `${name.padEnd(room)} ${rate.padStart(8)} ${total.padStart(9)}`
  return [
    line(title, 'RATE', 'TOTAL'),
    ...rows.map(({ key, rate, total }) => {
      const name = oneLine(key)
      const shown = name.length <= room ? name : `…${name.slice(name.length - room + 1)}`
      return line(shown, perSecond(rate), counted(total))
    }),
  ]
}
