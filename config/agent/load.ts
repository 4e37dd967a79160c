/** The agent's config file: text in, a typed Config with defaults out, or every mistake with its position. */
import { hash } from 'node:crypto'
import type { z } from 'zod'
import { merged, textOfAll } from './loading/drop-ins.ts'
import type { DropIn } from './loading/drop-ins.ts'
import { describeValue, explain, pathKey, pathText } from './loading/explain.ts'
import { PlainValue } from './loading/plain.ts'
import { mayBeSecret, shownText } from './loading/secret-keys.ts'
import { reportUnknownKey } from './loading/unknown-key.ts'
import { readSecret } from './loading/substitute.ts'
import type { Environment, ReadText } from './loading/substitute.ts'
import type { Origin, SecretFile } from './loading/plain.ts'
import type { Position, Problem } from '../yaml/problems.ts'
import { Problems, show } from '../yaml/problems.ts'
import { NO_EXPORTER, configSchema } from './schema.ts'
import type { Config } from './schema.ts'
import { orForeign } from '../yaml/foreign.ts'
import { parseYaml } from '../yaml/yaml.ts'

export interface LoadedConfig {
  readonly config: Config
  /** The input of the schema: as written, with references replaced, absolute paths, units as texts. */
  readonly written: unknown
  /** The origin of each written value, by `pathKey`; the others are defaults. */
  readonly origins: ReadonlyMap<string, Origin>
  /** SHA-256 of the text, in hex; with drop-in files, of all texts and the names of those. */
  readonly hash: string
  /** The config file and its drop-in files. */
  readonly files: readonly string[]
  /** By absolute path; not those that hold no secret, such as certificates. */
  readonly secretFiles: ReadonlyMap<string, SecretFile>
  /** Values that most likely do not mean what they seem to. */
  readonly warnings: readonly Problem[]
}

export type ConfigResult = LoadedConfig | { readonly problems: readonly Problem[] }

/**
 * Parses and validates a config. `file` is its path, for messages; paths in the config are absolute in what is returned
 * (`base/paths.ts`: where relative ones start). `env` and `read` serve `${env:}` and `${file:}`. `dropIns` are merged into it, in order.
 * All problems are collected, at most 20 shown. Never throws, whatever the text.
 */
export function loadConfig(
  text: string,
  file: string,
  env: Environment,
  read: ReadText = readSecret,
  dropIns: readonly DropIn[] = [],
): ConfigResult {
  return orForeign(loaded(text, file, env, read, dropIns), text, file, 'config')
}

function loaded(
  text: string,
  file: string,
  env: Environment,
  read: ReadText,
  dropIns: readonly DropIn[],
): ConfigResult {
  const problems = new Problems(file)
  let root = parseYaml(text, 'config', problems)
  let whole = root !== undefined
  for (const dropIn of dropIns) {
    const own = new Problems(dropIn.file)
    const over = parseYaml(dropIn.text, 'config', own)
    for (const { message, ...at } of own.list()) problems.add(at, message)
    if (over === undefined) whole = false
    if (root !== undefined && over !== undefined) root = merged(root, over, dropIn.file)
  }
  // A tree with a duplicate key is whole: its other mistakes are reported, too.
  if (root === undefined || !whole) return { problems: problems.list() }
  const plain = new PlainValue(root, configSchema, env, read, problems)
  const exporters = root.entries.get('exporters')?.value
  if (exporters?.kind === 'map' && exporters.entries.size === 0) {
    problems.add(exporters.at, `exporters: ${NO_EXPORTER}`)
  }
  // Code that zod generates for a schema pays off only for a second config.
  const result = configSchema.safeParse(plain.value, { jitless: true })
  for (const issue of unknownKeysFirst(result.error?.issues ?? [])) report(issue, plain, problems)
  if (problems.count > 0 || !result.success) return { problems: problems.list() }
  const { value: written, origins, secretFiles } = plain
  const digest = hash('sha256', textOfAll(text, dropIns))
  const files = [file, ...dropIns.map((dropIn) => dropIn.file)]
  return { config: result.data, written, origins, hash: digest, files, secretFiles, warnings: problems.warnings() }
}

/** A problem with the value at `path` of an otherwise valid config. */
export function problemAt(
  { origins }: LoadedConfig,
  file: string,
  path: readonly PropertyKey[],
  message: string,
): Problem {
  // A list has the position of its first item: only scalars have one of their own.
  const at = (origins.get(pathKey(path)) ?? origins.get(pathKey([...path, 0])))?.at ?? { line: 1, col: 1 }
  return { file, ...at, message: `${pathText(path)}: ${message}` }
}

function report(issue: z.core.$ZodIssue, plain: PlainValue, problems: Problems): void {
  if (plain.isReported(issue.path)) return
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) reportUnknownKey([...issue.path, key], plain, problems)
    return
  }
  const value = plain.valueAt(issue.path)
  const inner = issue.code === 'invalid_union' ? mappingIssues(issue, value) : []
  if (inner.length > 0) {
    for (const each of unknownKeysFirst(inner))
      report({ ...each, path: [...issue.path, ...each.path] }, plain, problems)
    return
  }
  const isKey = issue.code === 'invalid_key'
  const fromFile = plain.origins.get(pathKey(issue.path))?.from === 'secret'
  const secret = fromFile || mayBeSecret(issue.path) || (issue.code === 'custom' && issue.params?.['secret'] === true)
  const shown = typeof value === 'string' ? shownText(issue.path, value) : value
  let got = secret
    ? `a value ${fromFile ? 'from a file ' : ''}that is not shown`
    : describeValue(shown, plain.typedNumber(issue.path))
  if (value === undefined && issue.code === 'custom') got = 'the default'
  // The problem is about keys of the mapping.
  if (typeof value === 'object' && issue.code === 'custom') got = ''
  if (isKey) got = show(String(issue.path.at(-1)))
  const keys = plain.keysAt(issue.path)
  const at: Position = isKey ? plain.keyPosition(issue.path) : plain.position(issue.path)
  const where = pathText(issue.path)
  problems.add(
    at,
    `${where === '' ? '' : `${where}: `}${explain(issue, (secret && typeof value !== 'object') || shown !== value ? '' : value, got, keys)}`,
  )
}

/** Unknown keys first: one may explain a missing key. */
function unknownKeysFirst(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  return [
    ...issues.filter(({ code }) => code === 'unrecognized_keys'),
    ...issues.filter(({ code }) => code !== 'unrecognized_keys'),
  ]
}

/**
 * For a key that takes a word or a mapping: the problems inside the written mapping. If several mappings are allowed, distinguished by `type`:
 * the problems for the one with the written type.
 */
function mappingIssues(issue: z.core.$ZodIssueInvalidUnion, value: unknown): readonly z.core.$ZodIssue[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  const mappings = issue.errors.filter((issues) =>
    issues.every(({ code, path }) => code !== 'invalid_type' || path.length > 0),
  )
  const typed = mappings.find((issues) => issues.every(({ path }) => path[0] !== 'type'))
  const type = 'type' in value ? value.type : undefined
  const named = typeof type === 'string' && type.startsWith('npm:') ? mappings.at(-1) : undefined
  return typed ?? named ?? mappings[0] ?? []
}
