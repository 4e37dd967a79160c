/** The key `severity` of a filter: the order of the severities that the tags of policies name. */

/** Ascending. The first one is that of a hook without such a tag. */
const TAGS = ['severity.none', 'severity.low', 'severity.medium', 'severity.high', 'severity.critical']
const FORM = /^(>=|<=|>|<|) *(none|low|medium|high|critical)$/

const OPERATORS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '': (a, b) => a === b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
}

/** Decides by the tags of a hook: the first one with a severity counts. Undefined for a text of another form. */
export function parseSeverity(text: string): ((tags: readonly string[]) => boolean) | undefined {
  const [, operator = '', name = ''] = FORM.exec(text) ?? []
  const compare = OPERATORS[operator]
  const limit = TAGS.indexOf(`severity.${name}`)
  if (compare === undefined || limit < 0) return undefined
  return (tags) => compare(TAGS.indexOf(tags.find((tag) => TAGS.includes(tag)) ?? 'severity.none'), limit)
}
