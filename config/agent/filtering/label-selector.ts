/** Kubernetes label selectors as texts: `app=web,tier in (a, b),!debug`. */

/** One comma-separated part; all parts must hold. `exists` and `absent` have no values. */
export interface LabelRequirement {
  readonly key: string
  readonly operator: 'in' | 'notin' | 'exists' | 'absent' | 'above' | 'below'
  readonly values: readonly string[]
}

const NAME = '[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?'
const KEY = `(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?${NAME}`
const VALUE = `(?:${NAME})?`
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`)
const EQUALS = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`)
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`)
const NUMBER = new RegExp(`^(${KEY})\\s*([<>])\\s*(-?\\d{1,15})$`)
const VALUE_ONLY = new RegExp(`^${VALUE}$`)

/** Parses a selector; undefined when it is invalid. The empty selector matches every pod. */
export function parseLabelSelector(text: string): readonly LabelRequirement[] | undefined {
  if (text.trim() === '') return []
  // Commas within parentheses belong to a set.
  const requirements = text.split(/,(?![^(]*\))/).map((part) => parseRequirement(part.trim()))
  return requirements.every((each) => each !== undefined) ? requirements : undefined
}

function parseRequirement(part: string): LabelRequirement | undefined {
  const [, not, alone] = EXISTS.exec(part) ?? []
  if (alone !== undefined) return { key: alone, operator: not === '!' ? 'absent' : 'exists', values: [] }
  const [, key, sign, value = ''] = EQUALS.exec(part) ?? []
  if (key !== undefined) return { key, operator: sign === '!=' ? 'notin' : 'in', values: [value] }
  const [, ordered, comparison, bound = ''] = NUMBER.exec(part) ?? []
  if (ordered !== undefined) return { key: ordered, operator: comparison === '>' ? 'above' : 'below', values: [bound] }
  const [, member, word, list = ''] = SET.exec(part) ?? []
  if (member === undefined) return undefined
  const values = list.split(',').map((each) => each.trim())
  if (!values.every((each) => VALUE_ONLY.test(each))) return undefined
  return { key: member, operator: word === 'in' ? 'in' : 'notin', values }
}
