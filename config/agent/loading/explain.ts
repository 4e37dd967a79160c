/** Converts zod's issues to messages: path, expected, got, hint. */
import type { z } from 'zod'
import { NPM_FORM } from '../exporters/npm.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'
import { valuesNotBuilt } from './not-built.ts'

type Issue = z.core.$ZodIssue

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

/** The message after the path. `got` describes the value there, '' without a value. */
export function explain(issue: Issue, value: unknown, got: string): string {
  if (value === undefined && issue.code !== 'custom') return `missing; ${expectation(issue)}`
  const hint = typeof value === 'string' ? didYouMean(value, candidates(issue)) : ''
  return `${expectation(issue)}${got === '' ? '' : `, got ${got}`}${hint}`
}

function expectation(issue: Issue): string {
  // The schema's own message wins.
  if (issue.message.startsWith('expected')) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${KINDS[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `expected ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`
    case 'invalid_union': {
      const options = unionOptions(issue)
      return options.length > 0 ? `expected one of ${options.join(', ')}` : issue.message
    }
    case 'too_small':
      return issue.origin === 'string' ? 'expected a text that is not empty' : `expected at least ${issue.minimum}`
    case 'too_big':
      return `expected at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message
    default:
      return issue.message
  }
}

/** Allowed words. */
function candidates(issue: Issue): string[] {
  const later = valuesNotBuilt(issue.path)
  if (issue.code === 'invalid_value') return [...issue.values.map(String), ...later]
  const options = unionOptions(issue)
  return options.length > 0 ? [...options, ...later] : []
}

function unionOptions(issue: Issue): string[] {
  if (issue.code !== 'invalid_union' || !('options' in issue)) return []
  const options = (issue.options ?? []).map(String)
  return issue.discriminator === 'type' ? [...options, NPM_FORM] : options
}

/** A value for a message. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return show(value)
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'number') return `the number ${value}`
  return value === undefined ? '' : String(value)
}
