/** `ktrail migrate auditd`: turns file watches of audit rules into policies. */
import path from 'node:path'
import { Document, visit } from 'yaml'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { plural } from '../../../config/base/counts.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import type { Command } from '../command.ts'
import { writeNew } from '../init/init.ts'
import { ACCESSES, oneOf, policyText } from '../watch/policy.ts'
import type { Access, Document as Policy } from '../watch/policy.ts'
import { readRule } from './audit-rules.ts'
import type { Watch } from './audit-rules.ts'
import { readInputs } from './input.ts'

/** Rules with the same key, accesses and program: one policy. */
interface Group extends Pick<Watch, 'permissions' | 'key' | 'program'> {
  readonly paths: Set<string>
  readonly lines: string[]
  readonly places: string[]
  readonly without: Set<string>
}

/** Calls that auditd counts as changes of attributes; all others of a write policy are its writes. */
const ATTRIBUTES =
  /^(?:chmod_common|chown_common|vfs_utimes|vfs_fileattr_set|vfs_(?:set|remove)xattr|vfs_(?:set|remove)_acl)$/

export const auditdCommand: Command = async (given, terminal) => {
  const inputs = await readInputs('auditd', given, terminal)
  if (typeof inputs === 'number') return inputs
  const folder = given.text('output') ?? '-'
  let [rules, converted] = [0, 0]
  const refuse = (place: string, reason: string): void =>
    terminal.printError(oneLine(`${place}: not converted: ${reason}`))
  const groups = new Map<string, Group>()
  for (const { file, text } of inputs) {
    for (const [i, line] of text.split('\n').entries()) {
      const rule = readRule(line)
      if (rule === undefined) continue
      rules++
      if (typeof rule === 'string') refuse(`${file}:${i + 1}`, rule)
      else addTo(groups, rule, line.trim(), `${file}:${i + 1}`)
    }
  }
  const names = new Set<string>()
  const texts: Array<readonly [name: string, text: string]> = []
  for (const group of groups.values()) {
    const name = freeName(group.key, names)
    const text = await textOf(name, group)
    const parsed = parsePolicy(text, `${name}.yaml`)
    if ('problems' in parsed) {
      for (const place of group.places) refuse(place, parsed.problems[0]?.message ?? '')
      continue
    }
    converted += group.lines.length
    texts.push([name, text])
  }
  if (folder === '-') await terminal.print(texts.map(([, text]) => text).join('---\n'))
  else for (const [name, text] of texts) await writeNew(path.join(folder, `${name}.yaml`), text, given.flag('force'))
  terminal.printError(`${converted} of ${plural(rules, 'line')} converted to ${plural(texts.length, 'policy')}`)
  return texts.length === 0 ? 1 : 0
}

function addTo(groups: Map<string, Group>, watch: Watch, line: string, place: string): void {
  const { permissions, key, program } = watch
  const id = JSON.stringify([key, permissions, program])
  const group = groups.get(id) ?? { ...watch, paths: new Set(), lines: [], places: [], without: new Set() }
  groups.set(id, group)
  group.paths.add(watch.path.replace(/(?<=.)\/+$/, ''))
  group.lines.push(line)
  group.places.push(place)
  for (const condition of watch.without) group.without.add(condition)
}

/** A key may be any text; a policy has the name of a Kubernetes object. */
function freeName(key: string, names: Set<string>): string {
  const base =
    key
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 50)
      .replaceAll(/^-|-$/g, '') || 'audit'
  let name = base
  for (let i = 2; names.has(name); i++) name = `${base}-${i}`
  names.add(name)
  return name
}

async function textOf(name: string, { permissions, paths, lines, without, program }: Group): Promise<string> {
  const values = [...paths]
  const watched = values.map((each) => ({ path: each, isFolder: true }))
  const policyOf = async (accesses: readonly Access[]): Promise<Policy> =>
    JSON.parse(await policyText(watched, accesses, false))
  const has = (letter: string): boolean => permissions.includes(letter)
  const accesses = ACCESSES.filter((access) => has(access === 'exec' ? 'x' : access.charAt(0)))
  const [all, changes] = await Promise.all([policyOf(accesses), policyOf(['write'])])
  const own = all.spec.kprobes.filter(({ call }) => accesses.length > 0 && (has('a') || !ATTRIBUTES.test(call)))
  const attributes = changes.spec.kprobes.filter(({ call }) => has('a') && !has('w') && ATTRIBUTES.test(call))
  const kprobes = [...own, ...attributes]
  for (const { selectors } of kprobes) {
    for (const selector of selectors) {
      // One list, which YAML then names once.
      for (const filter of selector.matchArgs) if (filter.operator === 'UnderDir') Object.assign(filter, { values })
      if (program !== undefined) Object.assign(selector, { matchBinaries: [{ operator: 'In', values: [program] }] })
    }
  }
  const annotations = oneOf(changes.metadata.annotations, new Set(kprobes.map(({ call }) => call)))
  const document = new Document(
    { ...all, metadata: { name, annotations }, spec: { kprobes } },
    { anchorPrefix: 'files' },
  )
  // A line for each part of a hook.
  visit(document, { Collection: (_, node, above) => void (above.length > 6 && (node.flow = true)) })
  const more = without.size === 0 ? [] : [`Without the condition ${[...without].join(', ')}: more is reported.`]
  document.commentBefore = ['Rules of auditd:', ...lines.map((line) => `  ${oneLine(line)}`), ...more]
    .map((line) => ` ${line}`)
    .join('\n')
  return document.toString({ lineWidth: 0, flowCollectionPadding: true })
}
