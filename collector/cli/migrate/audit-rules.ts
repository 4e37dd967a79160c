/** Rules of auditd as auditctl(8) and audit.rules(7) define them; only file watches are kept. */

/** Files with the accesses that auditd reports: r read, w write, x execute, a attributes. */
export interface Watch {
  readonly path: string
  /** Letters of `rwxa` in this order. */
  readonly permissions: string
  readonly key: string
  /** Only accesses of this program. */
  readonly program?: string
  /** Conditions that policies lack, so that the policy reports more than the rule. */
  readonly without: readonly string[]
}

const ALL = 'rwxa'
/** Options without a value. */
const BARE = new Set(['-D', '-c', '-i', '-l', '-s', '-v', '-t', '-h'])
const SYNTAX = /^(\w+)(!=|>=|<=|&=|=|<|>|&)(.+)$/

/** The watch of a line, or the reason why no policy corresponds to it; undefined for a line without a rule. */
export function readRule(line: string): Watch | string | undefined {
  const text = line.trim()
  if (text === '' || text.startsWith('#')) return undefined
  const options = optionsOf(text)
  const names = new Set(options.map(([name]) => name))
  const list = options.find(([name]) => name === '-a' || name === '-A')?.[1]
  if (!names.has('-w') && list === undefined) return 'a setting of auditd, not a rule'
  const unusual = notAlways(list)
  if (unusual !== undefined) return unusual
  const found = { paths: [] as string[], permissions: ALL, key: '', without: [] as string[], program: '' }
  for (const [name, value] of options) {
    const problem = readOption(found, name, value)
    if (problem !== undefined) return problem
  }
  const { paths, permissions, key, without, program } = found
  const [path, second] = paths
  if (path === undefined)
    return 'it names no file or folder (-w, path=, dir=); write a policy for the function (docs/how-to/policies.md)'
  if (second !== undefined) return 'it names two files'
  if (!/^\/(?!(?:.*\/)?\.{1,2}(?:\/|$))/.test(path))
    return `expected an absolute path without "." and "..", got ${JSON.stringify(path)}`
  const letters = [...ALL].filter((letter) => permissions.includes(letter)).join('')
  if (letters === '' || /[^rwxa]/.test(permissions))
    return `expected permissions of the letters r, w, x and a, got ${JSON.stringify(permissions)}`
  return { path, permissions: letters, key, without, ...(program !== '' && { program }) }
}

/** `-F auid!=unset`, `-Fauid!=unset`. Quotes have no meaning in these files, but some have them. */
function optionsOf(text: string): Array<readonly [name: string, value: string]> {
  const words = text.split(/\s+/).map((word) => word.replace(/^(["'])(.*)\1$/, '$2'))
  const options: Array<readonly [string, string]> = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (/^-[A-Za-z]./.test(word)) options.push([word.slice(0, 2), word.slice(2)])
    else options.push([word, /^-[A-Za-z]$/.test(word) && !BARE.has(word) ? (words[++i] ?? '') : ''])
  }
  return options
}

function notAlways(list: string | undefined): string | undefined {
  const words = list?.split(',') ?? ['exit', 'always']
  if (words.includes('never'))
    return 'it excludes events; write filter.deny of an exporter (docs/reference/exporters/README.md)'
  return words.includes('exit') && words.includes('always') ? undefined : `expected the list always,exit, got ${list}`
}

/** Returns a reason if policies lack the option. */
function readOption(
  found: { paths: string[]; permissions: string; key: string; without: string[]; program: string },
  name: string,
  value: string,
): string | undefined {
  const [, field = name, operator = '=', operand = value] = (name === '-F' && SYNTAX.exec(value)) || []
  switch (field) {
    case '-a':
    case '-A':
    // The functions of the kernel are the same for both.
    case 'arch':
      return undefined
    case '-w':
    case 'path':
    case 'dir':
      found.paths.push(operand)
      break
    case '-p':
    case 'perm':
      found.permissions = operand
      break
    case '-k':
    case 'key':
      found.key = operand
      break
    case 'exe':
      found.program = operand
      break
    case 'auid':
      found.without.push(value)
      return undefined
    case '-S':
      return value === 'all'
        ? undefined
        : `it chooses system calls (-S ${value}); remove -S, or write a policy for the function`
    default:
      return `policies have no counterpart of ${name} ${value}`.trimEnd()
  }
  return operator === '=' ? undefined : `policies have no counterpart of -F ${value}`
}
