/** `ktrail migrate tetragon`: turns flags of Tetragon's agent, or values of its chart, into a config. */
import { parse, stringify } from 'yaml'
import { loadConfig } from '../../../config/agent/load.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { Problems } from '../../../config/yaml/problems.ts'
import { parseYaml } from '../../../config/yaml/yaml.ts'
import { isMapping } from '../../../config/base/parsed.ts'
import { ownFile } from '../../../config/base/own.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { linesOf } from '../check/lines.ts'
import type { Command } from '../command.ts'
import { OF_EXPORTER, OF_FILE, TOP, WITHOUT } from './flags.ts'
import { readInputs } from './input.ts'
import { foreign, settingsOf } from './values.ts'
import type { Settings } from './values.ts'

type Config = Readonly<Record<string, unknown>>

export const tetragonCommand: Command = async (given, terminal) => {
  const inputs = await readInputs('tetragon', given, terminal)
  if (typeof inputs === 'number') return inputs
  let values: Config = {}
  for (const { file, text } of inputs) {
    const problems = new Problems(file)
    if (parseYaml(text, 'config', problems) === undefined) {
      await terminal.print(linesOf({ problems: problems.list(), warnings: [], notes: [] }))
      return EXIT_CONFIG
    }
    const parsed: Config = parse(text)
    const message = foreign(parsed)
    if (message !== undefined) {
      await terminal.print(linesOf({ problems: [{ file, line: 1, col: 1, message }], warnings: [], notes: [] }))
      return EXIT_CONFIG
    }
    values = merged(values, parsed)
  }
  await terminal.print(configText(settingsOf(values), inputs.map(({ file }) => file).join(' ')))
  return 0
}

/** A file may have any keys, such as `constructor`. */
const valueAt = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined

/** Settings that ktrail would refuse are comments with the reason. */
function configText({ flags, others, printed }: Settings, file: string): string {
  const notes: string[] = []
  const path = flags['export-filename'] ?? ''
  const [name, exporter] = printed || path === '' ? ['screen', { type: 'stdout' }] : ['archive', { type: 'file', path }]
  let config: Config = { exporters: { [name]: exporter } }
  const inKubernetes = flags['enable-k8s-api'] === 'true'
  // Tetragon's own default, which the chart leaves empty.
  const all = inKubernetes ? flags : { 'tracing-policy-dir': '/etc/tetragon/tetragon.tp.d', ...flags }
  for (const [flag, value] of Object.entries(all)) {
    const note = (why: string): void => void notes.push(oneLine(`${flag}: ${value}`) + `\n    ${oneLine(why)}`)
    if (flag === 'export-filename') continue
    // The file that the chart's container prints is not needed.
    if (Object.hasOwn(OF_FILE, flag) && 'path' in exporter === false) continue
    const convert = valueAt(TOP, flag)
    const ofExporter = valueAt(OF_EXPORTER, flag) ?? valueAt(OF_FILE, flag)
    if (convert === undefined && ofExporter === undefined) {
      if (!OFF.has(value)) note(valueAt(WITHOUT, flag) ?? 'no counterpart')
      continue
    }
    if (value === '' && flag !== 'server-address') continue
    try {
      const part = convert?.(value, all) ?? { exporters: { [name]: ofExporter?.(value, all) } }
      const next = merged(config, escaped(part))
      const problem = problemOf(next)
      if (problem === undefined) config = next
      else note(problem)
    } catch (error) {
      note(error instanceof Error ? error.message : String(error))
    }
  }
  if (others.length > 0)
    notes.push(`values of the chart: ${oneLine(others.join(', '))}\n    see docs/start/kubernetes.md`)
  const { exporters, ...rest } = config
  const head = [
    `yaml-language-server: $schema=${ownFile('config/schema.json')}`,
    `Tetragon's ${oneLine(file)}, by ktrail migrate tetragon.`,
    ...(notes.length === 0 ? [] : ['', 'Not converted:']),
  ]
  const lines = [...head, ...notes.flatMap((note) => `  ${note}`.split('\n'))]
  return `${lines.map((line) => `# ${line}`.trimEnd()).join('\n')}\n${stringify({ ...rest, exporters }, { lineWidth: 0 })}`
}

/** Values that turn a feature off. */
const OFF = new Set(['', 'false', '0', 'disabled'])

/** The first reason why ktrail would refuse the config. */
function problemOf(config: Config): string | undefined {
  const loaded = loadConfig(stringify(config), 'ktrail.yaml', {})
  return 'problems' in loaded ? loaded.problems[0]?.message : undefined
}

/** `$` begins a reference in a config. */
function escaped(part: object): Config {
  return JSON.parse(JSON.stringify(part), (_, value: unknown) =>
    typeof value === 'string' ? value.replaceAll(/\$(?=[${A-Z_])/g, '$$$$') : value,
  )
}

/** Mappings are merged, lists are joined. */
function merged(a: Config, b: Config): Config {
  const result: Record<string, unknown> = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const old = result[key]
    if (Array.isArray(old) && Array.isArray(value)) result[key] = [...old, ...value]
    else result[key] = isMapping(old) && isMapping(value) ? merged(old, value) : value
  }
  return result
}
