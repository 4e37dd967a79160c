/** The operators of `matchArgs`: for each class of filters a table from the name in policies to the test. */
import type { FilterClass } from './arguments.ts'

type NumberOperator = 'Equal' | 'NotEqual' | 'GreaterThan' | 'LessThan' | 'Mask'
type TextOperator = 'Equal' | 'NotEqual' | 'Prefix' | 'NotPrefix' | 'Postfix' | 'NotPostfix'
export type Operator = NumberOperator | TextOperator

type Spellings = ReadonlyMap<string, Operator>

const EQUALITY: ReadonlyArray<readonly [string, Operator]> = [
  ['Equal', 'Equal'],
  ['NotEqual', 'NotEqual'],
  ['In', 'Equal'],
  ['NotIn', 'NotEqual'],
]
const TEXT: Spellings = new Map([
  ...EQUALITY,
  ['Prefix', 'Prefix'],
  ['NotPrefix', 'NotPrefix'],
  ['Postfix', 'Postfix'],
  ['NotPostfix', 'NotPostfix'],
])
const NUMBER: Spellings = new Map([
  ...EQUALITY,
  ['GreaterThan', 'GreaterThan'],
  ['GT', 'GreaterThan'],
  ['LessThan', 'LessThan'],
  ['LT', 'LessThan'],
  ['Mask', 'Mask'],
])

export const OPERATORS_OF: Readonly<Record<FilterClass, Spellings>> = {
  path: TEXT,
  text: TEXT,
  number: NUMBER,
  none: new Map(),
}

/** The operators of all classes. */
export const OPERATORS: Spellings = new Map([...TEXT, ...NUMBER])

const TETRAGON_OPERATORS = (
  'Equal NotEqual Prefix NotPrefix Postfix NotPostfix GreaterThan LessThan GT LT Mask SPort NotSPort SPortPriv ' +
  'NotSportPriv DPort NotDPort DPortPriv NotDPortPriv SAddr NotSAddr DAddr NotDAddr Protocol Family State InMap ' +
  'NotInMap CapabilitiesGained InRange NotInRange SubString SubStringIgnCase CelExpr FileType NotFileType'
).split(' ')

/** Tetragon's operators that this version does not support. */
export const LATER_OPERATORS: readonly string[] = TETRAGON_OPERATORS.filter((name) => !OPERATORS.has(name))

const NO_PATTERNS = 'there are no patterns: use Equal, Prefix or Postfix with several values'

const MEANT_OPERATORS: Readonly<Record<string, string>> = {
  ...named('Equal', 'eq == = is matches exact'),
  ...named('NotEqual', 'ne neq != <> not isnot notequals'),
  ...named('Prefix', 'startswith hasprefix beginswith'),
  ...named('NotPrefix', 'notstartswith'),
  ...named('Postfix', 'endswith suffix hassuffix'),
  ...named('GT', '> greater more above'),
  ...named('LT', '< less below'),
  ...named(NO_PATTERNS, 'regex regexp match glob like pattern wildcard'),
  ...named('there is no such operator: use GT with the number before it', '>= ge gte'),
  ...named('there is no such operator: use LT with the number after it', '<= le lte'),
  ...named('Mask', '& and bits bitmask hasflag'),
}

function named(meant: string, others: string): Record<string, string> {
  return Object.fromEntries(others.split(' ').map((other) => [other, meant]))
}

/** Our operator for another language's, or a sentence what to do without. */
export function meantOperator(text: string): string | undefined {
  const name = text.toLowerCase().replaceAll(/[\s_-]/g, '')
  return Object.hasOwn(MEANT_OPERATORS, name) ? MEANT_OPERATORS[name] : undefined
}
