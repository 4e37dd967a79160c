/** The operators of `matchArgs`: for each class of filters a table from the name in policies to the test. */
import { meant } from '../yaml/suggest.ts'
import type { FilterClass } from './arguments.ts'

type NumberOperator = 'Equal' | 'NotEqual' | 'GreaterThan' | 'LessThan' | 'Mask'
type TextOperator =
  | 'Equal'
  | 'NotEqual'
  | 'Prefix'
  | 'NotPrefix'
  | 'Postfix'
  | 'NotPostfix'
  | 'SubString'
  | 'SubStringIgnCase'
/** On what a socket says; `selectors/socket.ts` has their meanings. */
export type SocketOperator =
  | 'SAddr'
  | 'NotSAddr'
  | 'DAddr'
  | 'NotDAddr'
  | 'SPort'
  | 'NotSPort'
  | 'SPortPriv'
  | 'NotSPortPriv'
  | 'DPort'
  | 'NotDPort'
  | 'DPortPriv'
  | 'NotDPortPriv'
  | 'Protocol'
  | 'Family'
  | 'State'
export type FileTypeOperator = 'FileType' | 'NotFileType'
export type IdentityOperator = 'SameFile' | 'UnderDir'
export type Operator = NumberOperator | TextOperator | IdentityOperator

type AnyOperator = Operator | SocketOperator | FileTypeOperator

type Spellings = ReadonlyMap<string, AnyOperator>

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
  ['SubString', 'SubString'],
  ['SubStringIgnCase', 'SubStringIgnCase'],
])
const PATH: Spellings = new Map([...TEXT, ['FileType', 'FileType'], ['NotFileType', 'NotFileType']])
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

/** Whose values may be ranges, such as 10:20. */
export const takesRanges = (name: unknown): boolean =>
  typeof name === 'string' && /^(?:Not)?In(?:Map|Range)$/.test(name)

const SOURCE: ReadonlyArray<readonly [string, SocketOperator]> = [
  ['SAddr', 'SAddr'],
  ['NotSAddr', 'NotSAddr'],
  ['SPort', 'SPort'],
  ['NotSPort', 'NotSPort'],
  ['SPortPriv', 'SPortPriv'],
  // As Tetragon's schema has it.
  ['NotSportPriv', 'NotSPortPriv'],
  ['NotSPortPriv', 'NotSPortPriv'],
]
const DESTINATION: ReadonlyArray<readonly [string, SocketOperator]> = [
  ['DAddr', 'DAddr'],
  ['NotDAddr', 'NotDAddr'],
  ['DPort', 'DPort'],
  ['NotDPort', 'NotDPort'],
  ['DPortPriv', 'DPortPriv'],
  ['NotDPortPriv', 'NotDPortPriv'],
]
const SOCKADDR: Spellings = new Map([...SOURCE, ['Family', 'Family']])
/** On the path and the family of a Unix socket's address. */
const UNIX: Spellings = new Map([...TEXT, ['Family', 'Family']])
const SKB: Spellings = new Map([...SOURCE, ...DESTINATION, ['Protocol', 'Protocol'], ['Family', 'Family']])
const SOCK: Spellings = new Map([...SKB, ['State', 'State']])

/** Of our own language only (selectors/identity.ts): on which file an argument leads to, whatever its path. */
export const IDENTITY_OPERATORS: ReadonlyMap<string, IdentityOperator> = new Map([
  ['SameFile', 'SameFile'],
  ['UnderDir', 'UnderDir'],
])

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

/** Our operator for another language's, or a sentence what to do without. */
export function meantOperator(text: string): string | undefined {
  return meant('operator', text.replaceAll(/[\s_-]/g, ''))
}
