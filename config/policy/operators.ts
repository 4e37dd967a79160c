/** The operators of `matchArgs`: for each class of filters a table from the name in policies to the test. */
import { meant } from '../yaml/suggest.ts'
import type { FilterClass } from './arguments.ts'

const EQUAL = ['Equal', 'NotEqual'] as const
const ON_TEXTS = ['Prefix', 'NotPrefix', 'Postfix', 'NotPostfix', 'SubString', 'SubStringIgnCase'] as const
const ON_SOURCES = ['SAddr', 'NotSAddr', 'SPort', 'NotSPort', 'SPortPriv'] as const
const ON_DESTINATIONS = ['DAddr', 'NotDAddr', 'DPort', 'NotDPort', 'DPortPriv', 'NotDPortPriv'] as const
const ON_FILES = ['FileType', 'NotFileType'] as const

/** Operators on members of a socket; `selectors/socket.ts` has their meanings. */
export type SocketOperator =
  | (typeof ON_SOURCES)[number]
  | 'NotSPortPriv'
  | (typeof ON_DESTINATIONS)[number]
  | 'Protocol'
  | 'Family'
  | 'State'
export type FileTypeOperator = (typeof ON_FILES)[number]
export type IdentityOperator = 'SameFile' | 'UnderDir'
export type Operator =
  | (typeof EQUAL)[number]
  | 'GreaterThan'
  | 'LessThan'
  | 'Mask'
  | (typeof ON_TEXTS)[number]
  | IdentityOperator

type AnyOperator = Operator | SocketOperator | FileTypeOperator

type Spellings = ReadonlyMap<string, AnyOperator>

/** Entries of a table whose names mean themselves. */
export const same = <Name extends string>(...names: readonly Name[]): Array<readonly [string, Name]> =>
  names.map((name) => [name, name])

const EQUALITY: Spellings = new Map([...same<AnyOperator>(...EQUAL), ['In', 'Equal'], ['NotIn', 'NotEqual']])
const TEXT: Spellings = new Map([...EQUALITY, ...same(...ON_TEXTS)])
const PATH: Spellings = new Map([...TEXT, ...same(...ON_FILES)])
const NUMBER: Spellings = new Map([
  ...EQUALITY,
  ['GreaterThan', 'GreaterThan'],
  ['GT', 'GreaterThan'],
  ['LessThan', 'LessThan'],
  ['LT', 'LessThan'],
  ['Mask', 'Mask'],
  ['InMap', 'Equal'],
  ['NotInMap', 'NotEqual'],
  ['InRange', 'Equal'],
  ['NotInRange', 'NotEqual'],
])

/** Whether the operator's values may be ranges, such as 10:20. */
export const takesRanges = (name: unknown): boolean =>
  typeof name === 'string' && /^(?:Not)?In(?:Map|Range)$/.test(name)

const SOURCE: Spellings = new Map([
  ...same<AnyOperator>(...ON_SOURCES),
  // Spelling of Tetragon's schema.
  ['NotSportPriv', 'NotSPortPriv'],
  ...same('NotSPortPriv'),
])
const SOCKADDR: Spellings = new Map([...SOURCE, ...same('Family')])
/** On the path and the family of a Unix socket's address. */
const UNIX: Spellings = new Map([...TEXT, ...same('Family')])
const SKB: Spellings = new Map([...SOURCE, ...same<AnyOperator>(...ON_DESTINATIONS, 'Protocol', 'Family')])
const SOCK: Spellings = new Map([...SKB, ...same('State')])

/** Only in our own language (selectors/identity.ts): they test the file that an argument leads to, whatever its path. */
export const IDENTITY_OPERATORS: ReadonlyMap<string, IdentityOperator> = new Map(same('SameFile', 'UnderDir'))

export const OPERATORS_OF: Readonly<Record<FilterClass, Spellings>> = {
  path: PATH,
  text: TEXT,
  number: NUMBER,
  sock: SOCK,
  skb: SKB,
  sockaddr: SOCKADDR,
  unix: UNIX,
  none: new Map(),
}

/** The operators of all classes. */
export const OPERATORS: Spellings = new Map([...PATH, ...NUMBER, ...SOCK])

const SOCKET_OPERATORS: ReadonlySet<AnyOperator> = new Set(SOCK.values())

export function isSocketOperator(operator: AnyOperator): operator is SocketOperator {
  return SOCKET_OPERATORS.has(operator)
}

export const isFileTypeOperator = (operator: AnyOperator): operator is FileTypeOperator =>
  operator === 'FileType' || operator === 'NotFileType'

const TETRAGON_OPERATORS = (
  'Equal NotEqual Prefix NotPrefix Postfix NotPostfix GreaterThan LessThan GT LT Mask SPort NotSPort SPortPriv ' +
  'NotSportPriv DPort NotDPort DPortPriv NotDPortPriv SAddr NotSAddr DAddr NotDAddr Protocol Family State InMap ' +
  'NotInMap CapabilitiesGained InRange NotInRange SubString SubStringIgnCase CelExpr FileType NotFileType'
).split(' ')

/** Tetragon's operators that this version does not support. */
export const LATER_OPERATORS: readonly string[] = TETRAGON_OPERATORS.filter((name) => !OPERATORS.has(name))

/** Our operator for one of another language, or a sentence with the alternative. */
export function meantOperator(text: string): string | undefined {
  return meant('operator', text.replaceAll(/[\s_-]/g, ''))
}
