/** Converts zod's issues to messages: path, expected, got, hint. */
import type { z } from 'zod'
import { NPM_FORM } from '../exporters/npm.ts'
import { asHint, booleanHint, didYouMean, listHint, notOneOf } from '../../yaml/suggest.ts'
import { show, showNumber } from '../../yaml/problems.ts'
import { unitHint } from '../../base/units.ts'
import { meantType, meantValue } from './meant.ts'

type Issue = z.core.$ZodIssue
/** From the top of the config: keys, and indexes of lists. */
export type Path = ReadonlyArray<string | number>

/** Identifies a path. `pathText` is the same for some: `a.b` and `b` below `a`, or keys of which it shows only the beginning. */
export const pathKey = (path: readonly PropertyKey[]): string => JSON.stringify(path)

/** `exporters.archive.queue.max_bytes`, `policies[0]`; other keys than plain words are in quotes and brackets. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (!/^[\p{L}\p{N}_.-]{1,64}$/u.test(String(part))) text += `[${show(String(part))}]`
    else text += text === '' ? String(part) : `.${String(part)}`
  }
  return text
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

/** The message after the path. `got` describes the value there, '' without a value. `keys`: those of the mapping that is expected there. */
export function explain(issue: Issue, value: unknown, got: string, keys: readonly string[]): string {
  const hint = value === undefined ? '' : hintFor(issue, value, keys)
  const expected = expectation(issue, hint === '' ? keys : [])
  if (value === undefined && issue.code !== 'custom') return `missing; ${expected}${missingHint(issue.path)}`
  if (issue.code === 'invalid_value' && got !== '' && !issue.message.startsWith('expected') && issue.values.length > 1)
    return notOneOf(issue.values.map(String), got, hint)
  return `${expected}${got === '' ? '' : `, got ${got}`}${hint}`
}

/** The name of an exporter often is its type. */
function missingHint(path: readonly PropertyKey[]): string {
  if (path.length !== 3 || path[0] !== 'exporters' || path[2] !== 'type') return ''
  const word = /^[a-z]+/.exec(String(path[1]))?.[0] ?? ''
  if (['file', 'stdout', 'otlp', 'kafka'].includes(word)) return `; write type: ${word}`
  const meant = meantType(String(path[1]))
  return meant === undefined ? '' : `; ${meant.write}`
}

function hintFor(issue: Issue, value: unknown, keys: readonly string[]): string {
  const meant = meantValue(issue.path, typeof value === 'object' ? describeValue(value) : String(value))
  if (meant !== undefined) return asHint(meant)
  if (issue.code === 'invalid_key') return nameHint(String(issue.path.at(-1)))
  const unit = /^expected a (duration|size)/.exec(issue.message)?.[1]
  if (typeof value === 'number') {
    if (unit !== undefined) return '; add its unit'
    const isText = issue.code === 'invalid_type' && issue.expected === 'string' && !issue.message.includes('quotes')
    return isText ? '; put it in quotes' : ''
  }
  if (typeof value !== 'string') return ''
  if (unit !== undefined) return unitHint(value, unit)
  if (/^\w+:\S/.test(value) && (issue.code === 'invalid_union' || keys.length > 0))
    return '; write a space after the colon'
  if (issue.code === 'invalid_type') {
    if (issue.expected === 'array') return listHint(value)
    if (issue.expected === 'boolean') return booleanHint(value)
    if (keys.includes(value)) return `; write it as {${value}: ...}`
  }
  return didYouMean(value, issue.code === 'invalid_value' ? issue.values.map(String) : unionOptions(issue))
}

/** The name of an exporter as it may be written. */
function nameHint(name: string): string {
  if (name.length > 63) return ''
  const near = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, '-')
    .replaceAll(/^[-_]+|-+$/g, '')
  return near === '' ? '' : ` (did you mean "${near}"?)`
}

function expectation(issue: Issue, keys: readonly string[]): string {
  // The schema's own message wins.
  if (issue.message.startsWith('expected')) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected === 'object' && keys.length > 0) return `expected a mapping with ${listed(keys)}`
      return `expected ${KINDS[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `expected ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`
    case 'invalid_union': {
      const options = unionOptions(issue)
      return options.length > 0 ? `expected one of ${options.join(', ')}` : issue.message
    }
    case 'too_small':
      return issue.origin === 'string'
        ? 'expected a text that is not empty'
        : `expected at least ${issue.minimum}${issue.origin === 'array' ? ' entry' : ''}`
    case 'too_big':
      return `expected at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message
    default:
      return issue.message
  }
}

const MOST_LISTED = 12

/** Keys for a message; of very many the first. */
export function listed(keys: readonly string[]): string {
  const more = keys.length - MOST_LISTED
  return more <= 1 ? keys.join(', ') : `${keys.slice(0, MOST_LISTED).join(', ')} and ${more} others`
}

function unionOptions(issue: Issue): string[] {
  if (issue.code !== 'invalid_union' || !('options' in issue)) return []
  const options = (issue.options ?? []).map(String)
  return issue.discriminator === 'type' ? [...options, NPM_FORM] : options
}

/** A value for a message. `typed`: a number as in the file. */
export function describeValue(value: unknown, typed?: string): string {
  if (typeof value === 'string') return show(value)
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'number') return `the number ${showNumber(typed ?? String(value))}`
  return value === undefined ? '' : String(value)
}
