/**
 * Drop-in files: `config.d/` beside the config file. Its *.yaml files are merged into the config in the order of their names: mappings key by
 * key, every other value replaces the one before. Each value keeps its file and position, for messages.
 */
import { basename, dirname, join } from 'node:path'
import { policyFilesAt } from '../../policy/sources/files.ts'
import { readTextFile } from '../../yaml/files.ts'
import type { Position, Problem } from '../../yaml/problems.ts'
import type { MapEntry, MapNode, TreeNode } from '../../yaml/tree.ts'
import { errnoOf, whyUnreadable } from '../../base/unreadable.ts'
import { MAX_FILE_BYTES } from '../../yaml/yaml.ts'

export interface DropIn {
  readonly file: string
  readonly text: string
}

/** More files are a mistake, such as a wrong mount. */
const MOST_FILES = 100

export function dropInFolder(configFile: string): string {
  return join(dirname(configFile), 'config.d')
}

/** The drop-in files in the order of their names; none without the folder. Together at most 1 MiB. Never rejects. */
export async function readDropIns(
  configFile: string,
): Promise<readonly DropIn[] | { readonly problems: readonly Problem[] }> {
  const folder = dropInFolder(configFile)
  const refuse = (message: string): { problems: Problem[] } => ({
    problems: [{ file: folder, line: 0, col: 0, message }],
  })
  let files: string[]
  try {
    files = await policyFilesAt(folder)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) return []
    return refuse(`cannot read the folder: ${whyUnreadable(error)}`)
  }
  if (files[0] === folder) return refuse('expected a folder of drop-in files, got a file')
  if (files.length > MOST_FILES) return refuse(`expected at most ${MOST_FILES} files, got ${files.length}`)
  const read = await Promise.all(files.map(readTextFile))
  const problems = read.flatMap((one) => ('problems' in one ? one.problems : []))
  if (problems.length > 0) return { problems }
  const dropIns = read.flatMap((one, i) => ('text' in one ? [{ file: files[i] ?? '', text: one.text }] : []))
  const bytes = dropIns.reduce((sum, { text }) => sum + text.length, 0)
  if (bytes > MAX_FILE_BYTES) return refuse(`expected at most ${MAX_FILE_BYTES} bytes in all files, got ${bytes}`)
  return dropIns
}

/** The text that a config's hash is made from. Without drop-ins, this is the text of the config file. */
export function textOfAll(text: string, dropIns: readonly DropIn[]): string {
  return text + dropIns.map((dropIn) => `\0${basename(dropIn.file)}\0${dropIn.text}`).join('')
}

/** `over`, which comes from `file`, merged into `base`. */
export function merged(base: MapNode, over: MapNode, file: string): MapNode {
  const entries = new Map(base.entries)
  for (const [key, entry] of over.entries) {
    const before = entries.get(key)
    const both = before?.value.kind === 'map' && entry.value.kind === 'map'
    entries.set(key, both ? { ...before, value: merged(before.value, entry.value, file) } : entryIn(entry, file))
  }
  return { ...base, entries }
}

function entryIn({ keyAt, value }: MapEntry, file: string): MapEntry {
  return { keyAt: at(keyAt, file), value: nodeIn(value, file) }
}

function nodeIn(node: TreeNode, file: string): TreeNode {
  const here = at(node.at, file)
  if (node.kind === 'scalar') return { ...node, at: here }
  if (node.kind === 'list') return { ...node, at: here, items: node.items.map((item) => nodeIn(item, file)) }
  return { ...node, at: here, entries: new Map([...node.entries].map(([key, entry]) => [key, entryIn(entry, file)])) }
}

function at({ line, col }: Position, file: string): Position {
  return { line, col, file }
}
