/** The tables of docs/reference/configuration.md: every key of the config with its type, default and meaning, from the JSON Schema. */
import { isDeepStrictEqual } from 'node:util'
import { counted } from '../../../config/base/counts.ts'
import { DURATION, SIZE } from '../../../config/base/units.ts'
import { RELATIVE } from '../../../config/base/paths.ts'
import { configJsonSchema } from '../../../config/agent/json-schema.ts'

/** The part of JSON Schema that the config uses. */
interface Schema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly const?: string
  readonly enum?: readonly string[]
  readonly pattern?: string
  readonly minimum?: number
  readonly exclusiveMinimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly oneOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
}

type Keys = Readonly<Record<string, Schema>>

interface Row {
  readonly path: string
  readonly cells: string
}

/** Cells of rows that stand in the section of an exporter. */
interface Printed {
  readonly exporter: string
  readonly cells: string
}

/** Keys with fewer characters in their cells are printed again, except within a row of others. */
const SHORT = 70

/** Markdown, from the heading of the agent's own keys to the table of the last exporter. */
export function configReference(): string {
  const schema: Schema = configJsonSchema()
  const { exporters, ...own } = schema.properties ?? {}
  const kinds = alternatives(exporters?.additionalProperties)
  const [first] = kinds
  const shared = Object.entries(first?.properties ?? {}).filter(([key, node]) =>
    kinds.every((kind) => isDeepStrictEqual(kind.properties?.[key], node)),
  )
  const names = new Set(shared.map(([key]) => key))
  const printed = new Map<string, Printed>()
  const sections = kinds.map((kind) => {
    const { type, ...rest } = kind.properties ?? {}
    const keys = Object.fromEntries(Object.entries(rest).filter(([key]) => !names.has(key)))
    const exporter = `type: ${type?.const ?? 'npm:PACKAGE'}`
    const found = rows(keys, kind.required ?? [], '', new Map())
    const lines = withoutPrinted(found, printed)
    for (const row of found) if (!printed.has(named(row))) printed.set(named(row), { exporter, cells: row.cells })
    return `## Exporter \`${exporter}\`\n\n${lined(sentences(type).text)}\n\n${table(lines)}`
  })
  return [
    `## The agent\n\n${table(rows(own, schema.required ?? [], '', new Map()).map(line))}`,
    `## Every exporter\n\nThese keys stand below \`exporters.NAME\`, beside \`type\`.\n\n${table(rows(Object.fromEntries(shared), [], '', new Map()).map(line))}`,
    ...sections,
  ].join('\n\n')
}

const table = (lines: readonly string[]): string =>
  ['| key | type | default | meaning |\n|---|---|---|---|', ...lines].join('\n')

const line = ({ path, cells }: Row): string => `| \`${path}\` | ${cells.replace('|  |', '| |')} |`

/** Lines of at most 120 columns. */
const lined = (text: string): string => text.replaceAll(/(.{1,120})(?: |$)/g, '$1\n').trim()

const VARIABLE = / Variable: `\w+`\./
const named = ({ path, cells }: Row): string => `${path} | ${cells.replace(VARIABLE, '')}`

/** Lines of a section. Keys that an earlier section has in the same way, perhaps outside of a mapping, share a line. */
function withoutPrinted(found: readonly Row[], printed: ReadonlyMap<string, Printed>): string[] {
  const lines: string[] = []
  let open: Printed | undefined
  let paths: string[] = []
  let note = ''
  const close = (): void => {
    if (open !== undefined) lines.push(`| ${paths.join(', ')} | | | As for \`${open.exporter}\`${note}. |`)
    paths = []
    note = ''
  }
  for (const row of found) {
    const outside = { ...row, path: row.path.replace(/^\w+\./, '') }
    const same = printed.get(named(row)) ?? printed.get(named(outside))
    const before = row.cells.length < SHORT && same?.exporter !== open?.exporter ? undefined : same
    if (before?.exporter !== open?.exporter) close()
    open = before
    if (before === undefined) lines.push(line(row))
    else paths.push(`\`${row.path}\``)
    if (before !== undefined && before.cells !== row.cells) note = ', without the variables'
  }
  close()
  return lines
}

/** `printed`: mappings of this table by their path, so that the same keys appear once. */
function rows(keys: Keys, required: readonly string[], above: string, printed: Map<string, Keys>): Row[] {
  return Object.entries(keys).flatMap(([key, node]) => {
    const path = `${above}${key}`
    const { text, standard } = sentences(node)
    const below = inside(node)
    const same = [...printed].find(([, other]) => below !== undefined && isDeepStrictEqual(other, below.keys))
    const value = required.includes(key) && node.default === undefined ? '**required**' : standard
    const [type, meaning] = withPattern(typeOf(node), text)
    const row = {
      path,
      cells: `${type} | ${value} | ${meaning}${same === undefined ? '' : ` Keys: as \`${same[0]}\`.`}`,
    }
    if (below === undefined || same !== undefined) return [row]
    printed.set(path, below.keys)
    return [row, ...rows(below.keys, below.required, `${path}${below.step}`, printed)]
  })
}

const PATTERN = /[;.]? (?:(RE2), unanchored|\\\* matches any characters, \w+ \/)\./

/** Texts that are patterns have a type of their own, which the page explains once. */
function withPattern(type: string, text: string): readonly [string, string] {
  const found = PATTERN.exec(text)
  return found === null ? [type, text] : [type.replace('text', found[1] ?? 'glob'), text.replace(PATTERN, '.')]
}

/** The keys below a mapping, a list of mappings, or "a word or a mapping". */
function inside(node: Schema): { readonly keys: Keys; readonly required: readonly string[]; step: string } | undefined {
  const mapping = [node, ...alternatives(node)].find(({ properties }) => properties !== undefined)
  if (mapping !== undefined) return { keys: mapping.properties ?? {}, required: mapping.required ?? [], step: '.' }
  const below = node.items === undefined ? undefined : inside(node.items)
  return below === undefined ? undefined : { ...below, step: '[].' }
}

/** The description, and the default: the schema's, else that of the description. */
function sentences(node: Schema | undefined): { readonly text: string; readonly standard: string } {
  const whole = (node?.description ?? '').replace(RELATIVE, '').trim()
  const [text = '', described] = whole.split(/ ?Default: (.*)\.$/)
  const value = node?.default
  const empty =
    value === undefined || value === '' || (typeof value === 'object' && Object.keys(value ?? {}).length === 0)
  const word = empty ? described : String(value)
  const isValue = !empty || node?.enum?.includes(word ?? '') === true
  return {
    text: marked(text).replace('Environment variable:', 'Variable:'),
    standard: isValue ? `\`${word}\`` : marked(word ?? ''),
  }
}

/** Text in a cell of a table, with the names of variables as code. */
function marked(text: string): string {
  return text.replaceAll(/[|*<]/g, '\\$&').replaceAll(/\bOTEL_\w+/g, '`$&`')
}

function typeOf(node: Schema): string {
  const others = alternatives(node)
  if (others.length > 0) return others.map(typeOf).join(' or ')
  if (node.enum !== undefined) return node.enum.map((word) => `\`${word}\``).join(', ')
  if (node.const !== undefined) return `\`${node.const}\``
  switch (node.type) {
    case 'string':
      if (node.pattern === DURATION.source) return 'duration'
      return node.pattern === SIZE.source ? 'size' : 'text'
    case 'boolean':
      return 'boolean'
    case 'integer':
    case 'number':
      return numbers(node)
    case 'array':
      return `list of ${typeOf(node.items ?? {})}`
    case 'object': {
      const values = node.additionalProperties
      if (node.properties !== undefined || typeof values !== 'object') return 'mapping'
      return `mapping of name to ${values.type === undefined ? 'anything' : typeOf(values)}`
    }
    default:
      return 'anything'
  }
}

function numbers({ type, minimum, exclusiveMinimum, maximum }: Schema): string {
  const low = minimum === undefined ? `above ${exclusiveMinimum ?? ''}` : `${minimum}`
  return `${type === 'integer' ? 'integer' : 'number'}, ${low} to ${maximum === undefined ? '' : counted(maximum)}`
}

function alternatives(node: Schema | boolean | undefined): Schema[] {
  if (typeof node !== 'object') return []
  return [...(node.oneOf ?? []), ...(node.anyOf ?? [])].flatMap((each) => {
    const deeper = alternatives(each)
    return deeper.length === 0 ? [each] : deeper
  })
}
