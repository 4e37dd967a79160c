/**
 * The lint rule "who may import whom" (run by `npm run lint`). Each room may import only what RULES lists. RULES has no
 * cycle, so the rooms have none. Prints `file:line: what, rule` for every offence and exits with 1.
 *
 *   node test/support/check-imports.ts [FOLDER]
 *
 * Imports are found as text, not parsed: specifiers of this project are plain relative paths in quotes.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

type Room = 'config' | 'native' | 'exporters' | 'collector' | 'test'

interface Rule {
  readonly text: string
  /** Whether a file of this room may import `target` (relative to the root), as a type only or at run time. */
  allows(target: string, typeOnly: boolean): boolean
}

const RULES: Readonly<Record<Room, Rule>> = {
  config: { text: 'config imports nothing of ours', allows: () => false },
  native: { text: 'native imports nothing of ours', allows: () => false },
  exporters: {
    text: 'exporters import config',
    allows: (target) => target.startsWith('config/'),
  },
  collector: {
    text: 'the collector imports config, native/index.ts, exporters/index.ts, and types of native/types.ts and exporters/contract/',
    allows: (target, typeOnly) =>
      target.startsWith('config/') ||
      target === 'native/index.ts' ||
      target === 'exporters/index.ts' ||
      (typeOnly && (target === 'native/types.ts' || target.startsWith('exporters/contract/'))),
  },
  test: { text: 'tests import anything', allows: () => true },
}

/** The only file of the collector that may import config, native and exporters together. */
const MEETING_POINT = 'collector/agent.ts'

/** An import that breaks a rule, or of a file that does not exist. */
export interface Offence {
  /** Relative to the root. */
  readonly file: string
  readonly line: number
  readonly message: string
}

interface Import {
  readonly line: number
  readonly specifier: string
  readonly typeOnly: boolean
}

// `import … from 'x'`, `export … from 'x'`, `import 'x'`. A clause is names, braces, commas and stars: any other character,
// such as `=` or `(`, belongs to another statement, which must not include the import after it.
const STATEMENT = /^[ \t]*(import|export)\b([\w$*\s{},]*?)(\bfrom\s*)?(['"])([^'"\n]+)\4/gm
const CALL = /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g

/** Blanks out comments, keeping line numbers, so that an example in a doc comment is no import. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[^]*?\*\/|^[ \t]*\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '))
}

/** Every static, re-exporting and dynamic import of a source text whose specifier is relative. */
export function importsOf(source: string): Import[] {
  const text = withoutComments(source)
  const found: Import[] = []
  const add = (at: number, specifier: string | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !specifier.startsWith('.')) return
    found.push({ line: text.slice(0, at).split('\n').length, specifier, typeOnly })
  }
  for (const match of text.matchAll(STATEMENT)) {
    const [whole, keyword, clause = '', from, , specifier] = match
    if (keyword === 'export' && from === undefined) continue
    // The line of the specifier, which is the last of the statement.
    add(match.index + whole.length, specifier, /^\s+type\b(?!\s*(?:,|$))/.test(clause))
  }
  for (const match of text.matchAll(CALL)) {
    // `import('./x.ts').Name` as a type looks like a call: both count as imports at run time.
    add(match.index, match[2], false)
  }
  return found.toSorted((a, b) => a.line - b.line)
}

function roomOf(file: string): Room | undefined {
  const top = file.split('/')[0]
  return top !== undefined && Object.hasOwn(RULES, top) ? (top as Room) : undefined
}

/** Offences of one file. `file` is relative to the root and uses forward slashes. */
export function checkFile(file: string, source: string, exists: (target: string) => boolean): Offence[] {
  const room = roomOf(file)
  if (room === undefined) return []
  const offences: Offence[] = []
  const met = new Set<Room>()
  for (const { line, specifier, typeOnly } of importsOf(source)) {
    const target = path.posix.join(path.posix.dirname(file), specifier)
    const other = roomOf(target)
    if (!exists(target)) {
      offences.push({ file, line, message: `cannot find "${specifier}": expected a file, named with its extension` })
    } else if (other === undefined) {
      if (room !== 'test') offences.push({ file, line, message: `imports "${specifier}", which is in no room` })
    } else if (other !== room) {
      if (!RULES[room].allows(target, typeOnly)) {
        const as = typeOnly ? 'the types of ' : ''
        offences.push({ file, line, message: `imports ${as}${target}, but ${RULES[room].text}` })
      }
      if (!typeOnly) met.add(other)
      if (room === 'collector' && met.size === 3 && file !== MEETING_POINT) {
        offences.push({ file, line, message: `sees config, native and exporters, but only ${MEETING_POINT} may` })
        met.clear()
      }
    }
  }
  return offences
}

/** Offences of every `.ts` file in the rooms below `root`. */
export function checkTree(root: string): { readonly files: number; readonly offences: readonly Offence[] } {
  const exists = (target: string): boolean => existsSync(path.join(root, target))
  let files = 0
  const offences: Offence[] = []
  for (const room of Object.keys(RULES)) {
    if (!exists(room)) continue
    for (const name of readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' }).toSorted()) {
      const file = path.posix.join(room, name)
      if (!file.endsWith('.ts') || file.includes('/node_modules/') || file.startsWith('native/build/')) continue
      files += 1
      offences.push(...checkFile(file, readFileSync(path.join(root, file), 'utf8'), exists))
    }
  }
  return { files, offences }
}

if (import.meta.main) {
  const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '../..'))
  const { files, offences } = checkTree(root)
  for (const { file, line, message } of offences) console.error(`${file}:${line}: ${message}`)
  if (files === 0) console.error(`${root}: no TypeScript files in ${Object.keys(RULES).join(', ')}`)
  process.exitCode = offences.length === 0 && files > 0 ? 0 : 1
}
