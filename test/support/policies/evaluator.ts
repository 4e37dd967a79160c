/**
 * What a policy must report, computed plainly from docs/policies.md and docs/reference/policy-language.md: no index, no
 * first pass, nothing of the agent's. Texts are bytes as latin1, one character each, so that comparing texts compares bytes.
 */

import { processMatches } from './process-filters.ts'
import type { ProcessFacts, ProcessFilters } from './process-filters.ts'

export interface ArgumentDocument {
  readonly index: number
  readonly type: string
}

export interface FilterDocument {
  /** Position in the prototype; `args` wins. */
  readonly index?: number
  readonly args?: readonly number[]
  readonly operator: string
  readonly values: readonly string[]
}

export interface SelectorDocument extends ProcessFilters {
  readonly matchArgs?: readonly FilterDocument[]
}

/** A hook as it is written in a policy. */
export interface HookDocument {
  readonly call: string
  readonly syscall?: boolean
  readonly return?: boolean
  readonly returnArg?: ArgumentDocument
  readonly message?: string
  readonly args?: readonly ArgumentDocument[]
  readonly selectors?: readonly SelectorDocument[]
}

export interface PolicyDocument {
  readonly name: string
  readonly hooks: readonly HookDocument[]
}

/** The text of a policy file: JSON, which is YAML. */
export function policyText({ name, hooks }: PolicyDocument): string {
  const metadata = { name }
  return JSON.stringify({ apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata, spec: { kprobes: hooks } })
}

/** An argument of a call, or what it leads to. */
export type Value =
  /** '' for a file without a path. `whole`: of a path that is too long for a record, of which `text` is the end. */
  | { readonly kind: 'path'; readonly text: string; readonly whole?: string }
  | { readonly kind: 'text'; readonly text: string }
  /** A register: 64 bits, of which the declared type reads the lower ones. */
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'unreadable' }

export interface Call {
  /** As policies name it. */
  readonly call: string
  /** By position in the prototype. */
  readonly args: readonly Value[]
  readonly returned: bigint
}

/** What is compared of an event. */
export interface Report {
  readonly selector: number
  readonly args: readonly string[]
  /** '' without `return: true`. */
  readonly returned: string
}

/** The event that a call must yield. */
export interface Prediction extends Report {
  /**
   * Selectors that may be reported, the right one last. There are others only for a path that is too long for a record:
   * the agent may have rejected a Prefix by the beginning of the path, or have passed it because it saw only the end.
   */
  readonly selectors: readonly number[]
  /** No selector matches the whole path, but one might match its end. */
  readonly optional: boolean
}

/** Whether this is the predicted event. */
export function accepts(prediction: Prediction, report: Report): boolean {
  return (
    prediction.selectors.includes(report.selector) &&
    prediction.returned === report.returned &&
    prediction.args.length === report.args.length &&
    prediction.args.every((argument, i) => argument === report.args[i])
  )
}

export const asBytes = (text: string): string => Buffer.from(text).toString('latin1')

interface NumberType {
  readonly signed: boolean
  readonly bits: number
}

const SPELLINGS: Readonly<Record<string, string>> = {
  int: 'int32',
  long: 'int64',
  ulong: 'uint64',
  size_t: 'uint64',
  // Numbers with names. Sets are 64 bits that the argument points to.
  capability: 'int32',
  bpf_cmd: 'int32',
  kernel_cap_t: 'uint64',
  cap_inheritable: 'uint64',
  cap_permitted: 'uint64',
  cap_effective: 'uint64',
}

/** undefined for types that are no integers. */
export function numberType(name: string): NumberType | undefined {
  const found = /^(u|s?)int(8|16|32|64)$/.exec(SPELLINGS[name] ?? name)
  return found === null ? undefined : { signed: found[1] !== 'u', bits: Number(found[2]) }
}

export const readAs = ({ signed, bits }: NumberType, register: bigint): bigint =>
  signed ? BigInt.asIntN(bits, register) : BigInt.asUintN(bits, register)

/** Decimal, 0x, 0b, 0o, or 0 for octal; with a sign. */
function parsed(text: string): bigint {
  const [, sign = '', digits = ''] = /^([+-]?)(.*)$/.exec(text) ?? []
  const magnitude = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits)
  return sign === '-' ? -magnitude : magnitude
}

/** FROM:TO, both included. */
function inRange(number: bigint, text: string): boolean {
  const [from = 0n, to = from] = text.split(':').map(parsed)
  return number >= from && number <= to
}

function numberMatches(operator: string, number: bigint, texts: readonly string[]): boolean {
  if (/^(?:InMap|InRange)$/.test(operator)) return texts.some((text) => inRange(number, text))
  if (/^(?:NotInMap|NotInRange)$/.test(operator)) return !texts.some((text) => inRange(number, text))
  const values = texts.map(parsed)
  switch (operator) {
    case 'Equal':
    case 'In':
      return values.some((value) => number === value)
    case 'NotEqual':
    case 'NotIn':
      return values.every((value) => number !== value)
    case 'GreaterThan':
    case 'GT':
      return values.some((value) => number > value)
    case 'LessThan':
    case 'LT':
      return values.some((value) => number < value)
    case 'Mask':
      return values.some((value) => (number & value) !== 0n)
    default:
      throw new Error(`no model of ${operator} on numbers`)
  }
}

const lowerAscii = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())

/** `whole`: the text with its beginning, undefined where nothing is known of that. */
function textMatches(operator: string, text: string, values: readonly string[], whole: string | undefined): boolean {
  switch (operator) {
    case 'Equal':
    case 'In':
      return values.some((value) => text === value)
    case 'NotEqual':
    case 'NotIn':
      return values.every((value) => text !== value)
    case 'Prefix':
      return whole === undefined || values.some((value) => whole.startsWith(value))
    case 'NotPrefix':
      return whole === undefined || values.every((value) => !whole.startsWith(value))
    case 'Postfix':
      return values.some((value) => text.endsWith(value))
    case 'NotPostfix':
      return values.every((value) => !text.endsWith(value))
    case 'SubString':
      return values.some((value) => text.includes(value))
    case 'SubStringIgnCase':
      return values.some((value) => lowerAscii(text).includes(lowerAscii(value)))
    default:
      throw new Error(`no model of ${operator} on texts`)
  }
}

function filterMatches(
  filter: FilterDocument,
  args: readonly ArgumentDocument[],
  call: Call,
  knows: 'whole' | 'end',
): boolean {
  const [position] = filter.args ?? []
  const argument = position === undefined ? args.find(({ index }) => index === filter.index) : args[position]
  const value = argument === undefined ? undefined : call.args[argument.index]
  if (argument === undefined || value === undefined) throw new Error(`no argument for ${JSON.stringify(filter)}`)
  switch (value.kind) {
    case 'unreadable':
      return false
    case 'number': {
      const type = numberType(argument.type)
      if (type === undefined) throw new Error(`${argument.type} is no type of a number`)
      return numberMatches(filter.operator, readAs(type, value.value), filter.values)
    }
    case 'path':
      // A file without a path matches no operator, the negative ones included.
      if (value.text === '') return false
      return textMatches(
        filter.operator,
        value.text,
        filter.values.map(asBytes),
        knows === 'end' && value.whole !== undefined ? undefined : (value.whole ?? value.text),
      )
    case 'text':
      return textMatches(filter.operator, value.text, filter.values.map(asBytes), value.text)
  }
}

/** Key and value as in a record; numbers in decimal. */
const shownNumber = ({ signed, bits }: NumberType, register: bigint): string =>
  `${signed ? (bits === 64 ? 'long' : 'int') : bits === 64 ? 'size' : 'uint'}_arg ${readAs({ signed, bits }, register)}`

function shown({ type, index }: ArgumentDocument, call: Call): string {
  const value = call.args[index]
  switch (value?.kind) {
    case 'path':
      return `${type}_arg ${value.text}${value.whole === undefined ? '' : ' [unresolved]'}`
    case 'text':
      return `string_arg ${value.text}`
    case 'number':
      return shownNumber(numberType(type) ?? { signed: false, bits: 64 }, value.value)
    default:
      return 'error_arg'
  }
}

/** The event of this hook for this call; undefined if there must be none. `caller`: who made it, for selectors that ask. */
export function predicted(hook: HookDocument, call: Call, caller?: ProcessFacts): Prediction | undefined {
  if (hook.call !== call.call) return undefined
  const { args = [], selectors = [] } = hook
  const matching = (knows: 'whole' | 'end'): number[] =>
    selectors.flatMap((selector, i) =>
      (caller === undefined || processMatches(selector, caller)) &&
      (selector.matchArgs ?? []).every((filter) => filterMatches(filter, args, call, knows))
        ? [i]
        : [],
    )
  // The first one decides. Without selectors every call matches.
  const [first] = selectors.length === 0 ? [0] : matching('whole')
  const possible = matching('end').filter((selector) => first === undefined || selector < first)
  const accepted = first === undefined ? possible : [...possible, first]
  const selector = accepted.at(-1)
  if (selector === undefined) return undefined
  const returned = hook.return === true && hook.returnArg !== undefined ? numberType(hook.returnArg.type) : undefined
  return {
    selector,
    selectors: accepted,
    optional: first === undefined,
    args: args.filter(({ type }) => type !== 'nop').map((argument) => shown(argument, call)),
    returned: returned === undefined ? '' : shownNumber(returned, call.returned),
  }
}
