/** Help texts for a terminal of 80 columns, from the table of commands. */
import { shortened } from '../format.ts'
import { takesValue } from '../table/options.ts'
import type { OptionSpec, OptionSpecs } from '../table/options.ts'
import { isGroup } from '../table/spec.ts'
import type { CommandSpec, GroupSpec } from '../table/spec.ts'

const COLUMNS = 79
const LINES = 24
/** Columns beside the longest name of a command. */
const LISTED = 53
/** Longer names of options have their text on the next line. */
const MOST_LABEL = 30

/** The help of a command or group. `path`: as typed, such as `ktrail spool ls`. */
export function helpText(path: string, spec: CommandSpec | GroupSpec): string {
  const paragraphs = isGroup(spec) ? groupParagraphs(path, spec) : commandParagraphs(path, spec)
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
): string[] {
  return [
    usage.map((args) => usageLine(path, args)).join('\n'),
    ...text.map((paragraph) => wrapped(paragraph)),
    ...(Object.keys(options).length === 0 ? [] : [optionLines(options)]),
    ...notes.map((paragraph) => wrapped(paragraph)),
    ...exitParagraph(exits),
  ]
}

function groupParagraphs(path: string, { summary, commands, notes = [], exits }: GroupSpec): string[] {
  const rows = Object.entries(commands).map(([name, spec]): [string, string] => [`${path} ${name}`, listed(spec)])
  rows.push([`${path} help [COMMAND]`, 'Show this help, or the help of a command'])
  return [
    wrapped(`${path}: ${summary}`),
    columns(rows),
    ...notes.map((paragraph) => wrapped(paragraph)),
    ...exitParagraph(exits),
  ]
}

/** A group is listed with its commands, as far as they fit on its line. */
function listed(spec: CommandSpec | GroupSpec): string {
  return isGroup(spec) ? shortened(`${spec.summary}: ${Object.keys(spec.commands).join(', ')}`, LISTED) : spec.summary
}

function exitParagraph(exits: string | undefined): string[] {
  return exits === undefined ? [] : [wrapped(`Exit codes: ${exits}.`)]
}

/** Breaks between arguments, not within brackets. */
function usageLine(path: string, args: string): string {
  const words = args.match(/(?:\[(?:[^[\]]|\[[^\]]*\])*\]|[^\s[\]])+/g) ?? []
  return filled([path, ...words], COLUMNS, path.length + 1)
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

const optionLines = (options: OptionSpecs): string => columns(optionRows(options))

function columns(rows: ReadonlyArray<readonly [string, string]>): string {
  const width = Math.max(...rows.map(([label]) => label.length).filter((length) => length <= MOST_LABEL))
  const indent = ' '.repeat(width + 5)
  return rows
    .map(([label, about]) => {
      const [first = '', ...rest] = wrapped(about, COLUMNS - indent.length).split('\n')
      const head = `  ${label.padEnd(width)}`
      const begin = label.length > width ? `${head}\n${indent}${first}` : `${head}   ${first}`
      return [begin, ...rest.map((line) => `${indent}${line}`)].join('\n')
    })
    .join('\n')
}

/** Lines of at most `width` columns. A paragraph that begins with a space stays as it is. */
function wrapped(text: string, width: number = COLUMNS): string {
  return text.startsWith(' ') ? text : filled(text.split(' '), width, 0)
}

function filled(words: readonly string[], width: number, indent: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of words) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ' '.repeat(indent) + word
    } else line += line === '' ? word : ` ${word}`
  }
  return [...lines, line].join('\n')
}
