/**
 * Replaces `${env:X}`, `${env:X:-default}`, `${env:X:?message}`, `${file:/path}` and `$$` in a scalar of a config.
 * Runs after YAML is parsed, and on values only, so that a variable can never change the structure.
 */
import { didYouMean } from '../../yaml/suggest.ts'
import { absolute } from '../../base/paths.ts'
import { show } from '../../yaml/problems.ts'
import { MAX_SECRET_BYTES, readNamedFileSync } from '../../base/named-file.ts'
import { whyUnreadable } from '../../base/unreadable.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads a whole file; throws when it cannot. */
export type ReadText = (path: string) => string

export interface Substituted {
  readonly text: string
  readonly variables: readonly string[]
  /** Files used in the text, as absolute paths: with any, the text is a secret and never printed. */
  readonly files: readonly string[]
}

/** Reads a `${file:}` value. Throws when it cannot. */
export const readSecret: ReadText = (path) => readNamedFileSync(path, MAX_SECRET_BYTES).toString('utf8')

/**
 * The text with every reference replaced, or a message about a failed one. `configFile`: the file with the text.
 */
export function substitute(
  text: string,
  env: Environment,
  read: ReadText,
  configFile: string,
): Substituted | { readonly problem: string } {
  const variables: string[] = []
  const files: string[] = []
  const resolve = (body: string): string | { problem: string } => {
    if (body.includes('${')) return { problem: `expected no reference inside of another, got ${show(`\${${body}}`)}` }
    if (!body.startsWith('file:')) {
      variables.push(body.slice(4).split(':', 1)[0] ?? '')
      return valueOf(body, env)
    }
    if (body === 'file:') return { problem: 'expected a path in ${file:/path}, got nothing' }
    const file = absolute(body.slice(5), configFile)
    files.push(file)
    return contentOf(file, read)
  }
  let problem: string | undefined
  const replaced = text.replace(/\$\$|\$\{([^}]*)(\}?)/g, (whole: string, body: string | undefined, close: string) => {
    if (whole === '$$') return '$'
    if (problem !== undefined || body === undefined) return ''
    const found = close === '' ? { problem: `${show(whole)} has no closing brace` } : resolve(body)
    if (typeof found === 'string') return found
    problem = found.problem
    return ''
  })
  return problem === undefined ? { text: replaced, variables, files } : { problem }
}

function valueOf(body: string, env: Environment): string | { problem: string } {
  const found = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?$/s.exec(body)
  const name = found?.[1]
  if (found === null || name === undefined) {
    const hint = /^[A-Za-z_]\w*$/.test(body) ? ` (did you mean "\${env:${body}}"?)` : '; write $$ for a plain $'
    return {
      problem: `expected \${env:NAME}, \${env:NAME:-default} or \${file:/path}, got ${show(`\${${body}}`)}${hint}`,
    }
  }
  // Own properties only: `constructor` is no variable. Empty counts as unset for a default, as in a shell.
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  const [, , operator, rest = ''] = found
  if (value !== undefined && (value !== '' || operator === undefined)) return value
  if (operator === '-') return rest
  if (operator === '?') return { problem: `environment variable ${name} is not set: ${rest || 'it is required'}` }
  const known = Object.keys(env)
  return {
    problem: `environment variable ${name} is not set${didYouMean(name, known) || ` and has no default: set it or write \${env:${name}:-default}`}`,
  }
}

function contentOf(path: string, read: ReadText): string | { problem: string } {
  try {
    return read(path).replace(/\r?\n$/, '')
  } catch (error) {
    return { problem: `cannot read ${show(path)}: ${whyUnreadable(error)}` }
  }
}
