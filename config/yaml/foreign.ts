/** Files for other programs: one message with the page to read, instead of one for each key. */
import rows from './foreign.json' with { type: 'json' }
import type { Problem } from './problems.ts'

/**
 * foreign.json. The first match of `pattern` is the position. The file must also match `with`. A file with `unless` has only some foreign keys,
 * which have hints of their own. `of`: foreign only in place of this kind. Each pattern takes linear time.
 */
const FOREIGN = rows.map(({ pattern, with: also, unless, ...rest }) => ({
  ...rest,
  pattern: new RegExp(pattern, 'm'),
  also: new RegExp(also ?? '', 'm'),
  unless: new RegExp(unless ?? '(?!)', 'm'),
}))

/** `result` of parsing `text`; if it has problems because the file is for another program, with one problem in their place. */
export function orForeign<R extends object>(
  result: R,
  text: string,
  file: string,
  kind: 'config' | 'policy',
): R | { readonly problems: readonly Problem[] } {
  if (!('problems' in result)) return result
  for (const { pattern, also, unless, of = kind, got, next } of FOREIGN) {
    const found = of === kind ? pattern.exec(text) : null
    if (found !== null && also.test(text) && !unless.test(text)) return one(text, file, found.index, got, next)
  }
  const [first, policy] = [/^kind: *["']?(\w+)/m.exec(text), /^kind: *["']?TracingPolicy/m.exec(text)]
  if (first === null || policy === null || !/^---/m.test(text.slice(first.index, policy.index))) return result
  const next = 'move the policy to a file of its own (docs/how-to/policies/tetragon.md)'
  return one(text, file, first.index, `a ${first[1]} in front of a policy`, next)
}

function one(text: string, file: string, index: number, got: string, next: string): { problems: Problem[] } {
  const before = text.slice(0, index)
  const [line, col] = [before.split('\n').length, index - before.lastIndexOf('\n')]
  return { problems: [{ file, line, col, message: `expected a config or policy of ktrail, got ${got}: ${next}` }] }
}
