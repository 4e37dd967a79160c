/**
 * Draws docs/pictures/terminal.svg from what a demo printed, and trace.svg from what deploy/demo/trace.sh printed: `make picture` runs them and
 * calls this. Long lines are cut as a terminal of 80 columns without wrapping shows them.
 *
 *   node deploy/demo/picture.ts demo|trace OUTPUT SVG
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { svg } from './svg.ts'
import { cut, runs } from './terminal.ts'
import type { Run } from './terminal.ts'

const COLUMNS = 80
/** Steps of the workload that the picture shows, by the beginning of their headings. */
const STEPS = ['a user is added', 'it is cut', 'another user tries', 'a program is killed']
/** Lines of a trace that the picture shows. */
const MOST_TRACED = 18

const [kind = '', outputFile = '', svgFile = ''] = process.argv.slice(2)
const printed = readFileSync(outputFile, 'utf8').split('\n')
const [command, lines] =
  kind === 'trace'
    ? ['sudo ktrail trace --write -o tree -- make -s hello', traced(printed)]
    : ['make run', pick(printed)]
const screen = lines.map((line) => cut(runsOf(line), COLUMNS))
writeFileSync(svgFile, svg([[{ text: `$ ${command}`, color: 'bold' }], ...screen], COLUMNS, `Output of ${command}`))
console.log(`${svgFile}: ${lines.length + 1} lines`)

/** The tree, without the lines of ktrail itself. */
function traced(output: readonly string[]): string[] {
  const tree = output.filter((line) => line !== '' && !line.startsWith('ktrail: '))
  if (tree.length < 5 || !tree.some((line) => line.includes('/cc ')))
    throw new Error(
      `${outputFile}: expected the tree of a make, got ${tree.length} lines; run deploy/demo/trace.sh once more`,
    )
  return tree.length <= MOST_TRACED ? tree : [...tree.slice(0, MOST_TRACED - 1), '…']
}

/** The lines of the steps that are shown, and the sum of events. */
function pick(output: readonly string[]): string[] {
  const picked: string[] = []
  let shown = false
  for (const line of output) {
    if (line.startsWith('--- ')) shown = STEPS.some((step) => line.startsWith(`--- ${step}`))
    if (line.startsWith('--- summary')) shown = false
    if (shown && line !== '') picked.push(line)
    if (/\d {2}events, lost /.test(line)) picked.push(`--- ${line.trim().replaceAll(/ +/g, ' ')}`)
  }
  if (!picked.at(-1)?.startsWith('--- '))
    throw new Error(`${outputFile}: no summary; expected the whole output of a demo`)
  for (const [i, line] of picked.entries()) {
    const isEarly = line.startsWith('--- ') && i > 0 && !/💥|denied:/.test(picked[i - 1] ?? '')
    if (isEarly) throw new Error(`${outputFile}: "${line}" came before the end of the previous step; run it once more`)
  }
  return picked
}

/** Headings have a colour of their own in the picture. */
function runsOf(line: string): Run[] {
  return line.startsWith('--- ') ? [{ text: line, color: 'heading' }] : runs(line)
}
