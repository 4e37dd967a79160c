/** Help texts for a terminal, from the table of commands. */
import { filled, folded, shortened } from '../format.ts'
import { takesValue } from '../table/options.ts'
import type { OptionSpec, OptionSpecs } from '../table/options.ts'
import { isGroup } from '../table/spec.ts'
import type { CommandSpec, GroupSpec } from '../table/spec.ts'

/** Longer lines are hard to read. */
const COLUMNS_MAX = 80
const LINES = 24
/** Columns beside the longest name of a command. */
const LISTED = 53
/** Longer names of options have their text on the next line. */
const MOST_LABEL = 30
/** Narrower texts are below their names. */
const TEXT_MIN = 30

/** The help of a command or group. `path`: as typed, such as `ktrail spool ls`. */
export function helpText(path: string, spec: CommandSpec | GroupSpec, columns: number = COLUMNS_MAX): string {
  const width = Math.min(columns, COLUMNS_MAX) - 1
  const paragraphs = isGroup(spec) ? groupParagraphs(path, spec, width) : commandParagraphs(path, spec, width)
  const whole = joined(paragraphs)
  if (isGroup(spec) || spec.examples === undefined) return whole
  const withExamples = joined([...paragraphs, ['Examples:', ...spec.examples.map((line) => `  ${line}`)].join('\n')])
  return withExamples.trimEnd().split('\n').length <= LINES ? withExamples : whole
}

function joined(paragraphs: readonly string[]): string {
  return `${paragraphs.join('\n\n')}\n`
}

function commandParagraphs(
  path: string,
  { usage = [''], text, options = {}, notes = [], exits }: CommandSpec,
  width: number,
): string[] {
  return [
    usage.map((args) => usageLine(path, args, width)).join('\n'),
    ...text.map((paragraph) => wrapped(paragraph, width)),
    ...(Object.keys(options).length === 0 ? [] : [rowLines(optionRows(options), width)]),
    ...notes.map((paragraph) => wrapped(paragraph, width)),
    ...exitParagraph(exits, width),
  ]
}

function groupParagraphs(path: string, { summary, commands, notes = [], exits }: GroupSpec, width: number): string[] {
  const rows = Object.entries(commands).map(([name, spec]): [string, string] => [`${path} ${name}`, listed(spec)])
  rows.push([`${path} help [COMMAND]`, 'Show this help, or the help of a command'])
  return [
    wrapped(`${path}: ${summary}`, width),
    rowLines(rows, width),
    ...notes.map((paragraph) => wrapped(paragraph, width)),
    ...exitParagraph(exits, width),
  ]
}

/** A group is listed with its commands, as far as they fit on its line. */
function listed(spec: CommandSpec | GroupSpec): string {
  return isGroup(spec) ? shortened(`${spec.summary}: ${Object.keys(spec.commands).join(', ')}`, LISTED) : spec.summary
}

function exitParagraph(exits: string | undefined, width: number): string[] {
  return exits === undefined ? [] : [wrapped(`Exit codes: ${exits}.`, width)]
}

/** Breaks between arguments, not within brackets. */
function usageLine(path: string, args: string, width: number): string {
  const words = args.match(/(?:\[(?:[^[\]]|\[[^\]]*\])*\]|[^\s[\]])+/g) ?? []
  return filled([path, ...words], width, width < COLUMNS_MAX - 1 ? 4 : path.length + 1)
}

/** Options of one text that follow each other: `--ca-file, --cert-file, --key-file FILE`. */
export function optionRows(options: OptionSpecs): ReadonlyArray<readonly [label: string, about: string]> {
  const hasShort = Object.values(options).some(({ short }) => short !== undefined)
  const rows: Array<{ names: string[]; spec: OptionSpec }> = []
  for (const [name, spec] of Object.entries(options)) {
    const last = rows.at(-1)
    if (last?.spec.about === spec.about) last.names.push(`--${name}`)
    else rows.push({ names: [`--${name}`], spec })
  }
  return rows.map(({ names, spec }) => {
    const short = spec.short === undefined ? (hasShort ? '    ' : '') : `-${spec.short}, `
    return [`${short}${names.join(', ')}${valueText(spec)}`, spec.about]
  })
}

function valueText(spec: OptionSpec): string {
  return takesValue(spec) ? ` ${spec.value ?? spec.choices?.join('|')}` : ''
}

function rowLines(rows: ReadonlyArray<readonly [string, string]>, width: number): string {
  const longest = Math.max(...rows.map(([label]) => label.length).filter((length) => length <= MOST_LABEL))
  if (width - longest - 5 < TEXT_MIN) {
    const below = (about: string): string => filled(['     ', ...about.split(' ')], width, 6)
    return rows.map(([label, about]) => `${folded(`  ${label.trim()}`, width)}\n${below(about)}`).join('\n')
  }
  const indent = ' '.repeat(longest + 5)
  return rows
    .map(([label, about]) => {
      const [first = '', ...rest] = wrapped(about, width - indent.length).split('\n')
      const head = `  ${label.padEnd(longest)}`
      const begin = label.length > longest ? `${head}\n${indent}${first}` : `${head}   ${first}`
      return [begin, ...rest.map((line) => `${indent}${line}`)].join('\n')
    })
    .join('\n')
}

/** Lines of at most `width` columns. A paragraph that begins with a space stays as it is. */
function wrapped(text: string, width: number): string {
  return text.startsWith(' ') ? folded(text, width) : filled(text.split(' '), width, 0)
}
