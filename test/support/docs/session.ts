/**
 * Draws docs/pictures/first-minutes.svg, which moves, from the recording of `make minutes`.
 *
 *   node test/support/docs/session.ts CAST SVG
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { svg } from '../../../deploy/demo/svg.ts'
import { runs, width as cells } from '../../../deploy/demo/terminal.ts'
import type { Run } from '../../../deploy/demo/terminal.ts'

/** The last screen stays. */
const END_S = 5

const [castFile = '', svgFile = ''] = process.argv.slice(2)
const [header = '', ...events] = readFileSync(castFile, 'utf8').trimEnd().split('\n')
const { width, height, idle_time_limit: idle, title } = JSON.parse(header)

const done: Run[][] = []
/** The line of the cursor. */
let line = ''
let before = 0
let seconds = 0
const steps: Array<[number, number]> = []
// eslint-disable-next-line no-control-regex
const CONTROL = /^.*(?:\r|\x1b\[1G)|\x1b\[[\d;?]*[A-Za-ln-z]/g
const rowsOf = (text: string): Run[][] => wrapped(runs(text.replaceAll(CONTROL, '')), width)
for (const event of events) {
  const [at, , text] = JSON.parse(event)
  seconds += Math.min(at - before, idle)
  before = at
  const lines = (line + text).split(/\r+\n/)
  line = lines.pop() ?? ''
  done.push(...lines.flatMap(rowsOf))
  const count = done.length + rowsOf(line).length
  if (steps.at(-1)?.[1] !== count) steps.push([seconds, count])
}
const motion = { rows: height, steps, seconds: Math.ceil(seconds + END_S) }
writeFileSync(svgFile, svg([...done, ...rowsOf(line)].map(bold), width, title, motion))
console.log(`${svgFile}: ${done.length} lines, ${motion.seconds} s`)

/** Typed lines stand out; a log of the background may come between prompt and command. */
function bold(row: Run[]): Run[] {
  const isTyped = /^(?:\$ )?(?:sudo |ktrail [a-z]|sed )/.test(row[0]?.text ?? '')
  return isTyped ? row.map(({ text }) => ({ text, color: 'bold' })) : row
}

/** The line as rows of a terminal. */
function wrapped(typed: readonly Run[], columns: number): Run[][] {
  const rows: Run[][] = [[]]
  let room = columns
  for (const { text, color } of typed)
    for (const char of text) {
      if (room < cells(char)) {
        rows.push([])
        room = columns
      }
      room -= cells(char)
      const row = rows.at(-1)
      const last = row?.at(-1)
      if (last?.color === color) row?.splice(-1, 1, { text: last.text + char, color })
      else row?.push({ text: char, color })
    }
  return rows
}
