/**
 * The parts of test/support/policies/parts/, expanded in a policy of the library. A policy has a line such as
 *
 *   # Parts content, names of "a scheduled job": ...
 *
 * All hooks below this line are written from the parts. Each hook has the lists that the policy has under the anchors `folders`, `files` and
 * `names`. `endings` must match too, except for `files`; `locks` are texts in paths of temporary files below `folders`, whose changes are hidden
 * until they are renamed. Programs are those under `by_except` or `by_servers`, `by_writers` and `by_renamers`. `by_started` are excepted programs
 * whose children are not, except for names that `made` matches.
 */
import { readFileSync } from 'node:fs'
import { isScalar, isSeq, parse, parseDocument, visit } from 'yaml'
import type { Node } from 'yaml'

export const PARTS: URL = new URL('parts/', import.meta.url)
const MARKER = /^ {4}# Parts ([a-z, ]+) of "([^"]+)": .*\n/m
const COLUMNS = 120
const HIDDEN = '          matchActions: [{ action: NoPost }]'
/** Most selectors of a hook (docs/reference/policy/limits.md). */
const SELECTORS = 5

interface Watched {
  /** `index: N` or `args: [N]` */
  readonly is: string
  readonly filters?: readonly string[]
}

interface PartHook {
  readonly comment?: string
  readonly call: string
  readonly optional?: true
  readonly message: string
  readonly args: readonly string[]
  readonly watched: readonly Watched[]
  readonly filters?: readonly string[]
  /** Calls that these filters match are hidden. */
  readonly hidden?: readonly string[]
  /** Changes of `locks` are hidden. */
  readonly locks?: true
  /** The programs of `by_writers` are hidden. */
  readonly writers?: true
  /** The programs of `by_renamers` are excepted, if the policy has them. */
  readonly renamers?: true
  /** The argument that `names`, `endings`, `locks` and `made` match, if it is another one than the watched one. */
  readonly named?: { readonly arg: string; readonly is: string }
}

/** A list under an anchor: what stands beside its values. */
interface List {
  readonly operator: string
  readonly values: readonly string[]
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string')

/** The lists under anchors, and the text of each entry of programs. */
function listsOf(text: string): { lists: ReadonlyMap<string, List>; programs: ReadonlyMap<string, string> } {
  const lists = new Map<string, List>()
  const programs = new Map<string, string>()
  const document = parseDocument(text)
  visit(document, {
    Map(_, map) {
      const of = map.get('values', true)
      const operator = map.get('operator')
      if (!isSeq(of) || of.anchor === undefined || typeof operator !== 'string') return
      const values: unknown = of.toJS(document)
      if (isTexts(values)) lists.set(of.anchor, { operator, values })
    },
    Pair(_, { key, value }) {
      if (!isScalar(key) || !/^match(Parent)?Binaries$/.test(String(key.value))) return
      if (!isSeq(value) || value.anchor === undefined) return
      programs.set(value.anchor, textOf(value, text))
    },
  })
  return { lists, programs }
}

const textOf = ({ range }: Node, text: string): string => text.slice(range?.[0] ?? 0, range?.[1] ?? 0).trimEnd()

/** A policy with its parts, or as it is if it has none. */
export function expand(text: string): string {
  const found = MARKER.exec(text)
  if (found === null) return text
  const [marker, parts = '', thing = ''] = found
  const { lists, programs } = listsOf(text)
  const head = text.slice(0, found.index + marker.length)
  const tags = /^ {6}tags: &tags (.*)$/m.exec(text)?.[1] ?? ''
  const known = new Set([...head.matchAll(/&([a-z_]+)/g)].map(([, anchor = '']) => anchor))
  const isFirst = (anchor: string): boolean => !known.has(anchor) && known.add(anchor) !== undefined
  const by = ['by_except', 'by_servers'].find((anchor) => programs.has(anchor))

  const matched = (is: string, anchor: string): string[] => {
    const list = lists.get(anchor)
    if (list === undefined) return []
    const { operator, values } = list
    if (!isFirst(anchor)) return [`            - { ${is}, operator: ${operator}, values: *${anchor} }`]
    const quoted = values.map((value) => (/^[/\w][-./\w]*$/.test(value) ? value : `"${value}"`))
    const line = `            - { ${is}, operator: ${operator}, values: &${anchor} [${quoted.join(', ')}] }`
    if (line.length <= COLUMNS) return [line]
    const items = quoted.map((value) => `                - ${value}`)
    return [`            - ${is}`, `              operator: ${operator}`, `              values: &${anchor}`, ...items]
  }
  const byPrograms = (anchor: string | undefined, key: string = 'matchBinaries'): string[] => {
    if (anchor === undefined) return []
    if (!isFirst(anchor)) return [`          ${key}: *${anchor}`]
    return [`          ${key}: &${anchor}`, `            ${programs.get(anchor) ?? ''}`]
  }
  const hasNames = ['names', 'endings', 'locks', 'made'].some((anchor) => lists.has(anchor))
  const isStarted = programs.has('by_started')
  const used = ['folders', 'files', 'names'].filter((anchor) => lists.has(anchor))
  const selectorsOf = (
    { filters = [], hidden: not = [], locks, writers, renamers, named }: PartHook,
    watched: readonly Watched[],
  ): string[] =>
    used.flatMap((anchor) => {
      const nameOf = (is: string): string => named?.is ?? is
      const list = (is: string): string[] => {
        const both = anchor === 'files' ? [] : matched(nameOf(is), 'endings')
        return ['        - matchArgs:', ...matched(anchor === 'names' ? nameOf(is) : is, anchor), ...both]
      }
      const is = watched[0]?.is ?? ''
      const isWritten = writers === true && programs.has('by_writers')
      const isLocked = locks === true && anchor === 'folders' && lists.has('locks')
      const own = (each: Watched): string[] =>
        [...(each.filters ?? []), ...filters].map((filter) => `            - ${filter}`)
      return [
        isLocked ? ['        - matchArgs:', ...matched(is, anchor), ...matched(nameOf(is), 'locks'), HIDDEN] : [],
        not.map((filter) => [...list(is), `            - ${filter}`, HIDDEN]),
        isWritten ? [...list(is), ...byPrograms('by_writers'), HIDDEN] : [],
        watched.map((each) => [
          ...list(each.is),
          ...own(each),
          ...byPrograms(renamers === true && programs.has('by_renamers') ? 'by_renamers' : by),
          ...(isStarted ? [...list(each.is), ...matched(nameOf(each.is), 'made'), ...own(each)] : []),
          ...(isStarted ? byPrograms('by_started', 'matchParentBinaries') : []),
        ]),
      ].flat(2)
    })
  /** If both directions do not fit into one hook, each has its own. */
  const hooksOf = (hook: PartHook): string[] => {
    const { watched } = hook
    const fits = used.length * watched.length * (isStarted ? 2 : 1) <= SELECTORS
    return (fits ? [watched] : watched.map((each) => [each])).flatMap((each) => [
      ...(hook.comment === undefined ? [] : [`    # ${hook.comment}`]),
      `    - call: ${hook.call}`,
      ...(hook.optional === true ? ['      ignore: { callNotFound: true }'] : []),
      '      syscall: false',
      `      message: "${thing} ${hook.message}"`,
      `      tags: ${isFirst('tags') ? `&tags ${tags}` : '*tags'}`,
      '      args:',
      ...[hook.args, hasNames ? (hook.named?.arg ?? []) : []].flat().map((arg) => `        - ${arg}`),
      '      selectors:',
      ...selectorsOf(hook, each),
    ])
  }
  const hooks = parts
    .split(', ')
    .flatMap((part): PartHook[] => parse(readFileSync(new URL(`${part}.yaml`, PARTS), 'utf8')))
  return `${head}${hooks.flatMap(hooksOf).join('\n')}\n`
}
