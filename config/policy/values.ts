/** The `values` of one filter: checks the length of texts, parses integers of the argument's width. */
import { posix } from 'node:path'
import { SYSCALL64 } from './arguments.ts'
import type { NumberType } from './arguments.ts'
import type { Operator } from './operators.ts'
import { describe } from '../yaml/tree.ts'
import { show } from '../yaml/problems.ts'
import { asText } from './fields.ts'
import { callNumber } from './system-calls.ts'
import { LIST } from './lists.ts'
import type { Lists } from './lists.ts'
import type { Place } from './fields.ts'

/** Most values of one filter: the size of a hook's kernel maps. */
export const MAX_VALUES = 1024

/** Most bytes of a text value: no path or text that is read is longer. */
const MAX_TEXT_BYTES = 4095
/** 4,095 bytes of a buffer are read. A value is shorter, so that it never equals a longer buffer that only begins with it. */
const MAX_BUFFER_BYTES = 4094
/** Tetragon's bounds for SubString: bytes of a value, and values of a filter. */
const MAX_PART_BYTES = 99
export const MAX_PARTS = 100
/** Tetragon's bound for Postfix. */
const MAX_POSTFIX_BYTES = 127

/** The numbers of a filter, with each one of its ranges (`10:20`) where those are allowed; wrong ones are reported and left out. */
export function readNumbers(
  places: readonly Place[],
  type: NumberType,
  operator: Operator,
  ranges: boolean,
  lists?: Lists,
): readonly bigint[] {
  const numbers: bigint[] = []
  for (const place of places) {
    const text = asText(place)
    if (text === undefined) continue
    if (text.startsWith(LIST)) {
      numbers.push(...readList(place, text, type, ranges, lists))
      if (numbers.length <= MAX_VALUES) continue
      place.refuse(`expected at most ${MAX_VALUES} numbers of all lists of a filter, got more with ${show(text)}`)
      break
    }
    const range = ranges ? /^([^:]+):([^:]+)$/.exec(text) : null
    const first = readNumber(place, range?.[1] ?? text, type, operator)
    const last = range === null ? first : readNumber(place, range[2] ?? '', type, operator)
    if (first === undefined || last === undefined) continue
    if (first > last) {
      place.refuse(`expected the lower number of a range first, got ${show(text)}`)
    } else if (last - first >= MAX_VALUES || numbers.length + Number(last - first) >= MAX_VALUES) {
      const sentence = `expected at most ${MAX_VALUES} numbers in all ranges of a filter`
      place.refuse(`${sentence}, got more with ${show(text)}; use GT and LT`)
      break
    } else {
      for (let number = first; number <= last; number++) numbers.push(number)
    }
  }
  return numbers
}

/** The numbers of the system calls in a list; `lists`: undefined where there are no numbers of system calls. */
function readList(
  place: Place,
  text: string,
  { name }: NumberType,
  member: boolean,
  lists: Lists | undefined,
): readonly bigint[] {
  const refuse = (message: string): readonly bigint[] => {
    place.refuse(message)
    return []
  }
  if (lists === undefined || !member || name !== SYSCALL64.name) {
    const expected =
      'with InMap or NotInMap on the number of a system call: an argument of type syscall64 of a tracepoint'
    return refuse(`a list is a value only ${expected}; got type ${name}`)
  }
  return lists.callsOf(text.slice(LIST.length), place).flatMap(({ name: call, syscall, generated }) => {
    if (syscall !== true || generated !== undefined) {
      return refuse(`expected a list of type syscalls, got ${show(text)} with ${show(call)}`)
    }
    const number = callNumber(call)
    return typeof number === 'string' ? refuse(`${text}: ${number}`) : [number]
  })
}

/** The texts of a filter, of `maxBytes` at most; wrong ones are reported and left out. */
export function readTexts(
  places: readonly Place[],
  operator: Operator,
  maxBytes: number = MAX_TEXT_BYTES,
): readonly string[] {
  return places.flatMap((place) => readText(place, operator, maxBytes) ?? [])
}

/** The values of a filter on bytes, which may have NULs. */
export function readBytes(places: readonly Place[], operator: Operator): readonly string[] {
  return places.flatMap((place) => {
    const text = asText(place)
    return text === undefined ? [] : (checkedText(place, text, operator, MAX_BUFFER_BYTES) ?? [])
  })
}

function readNumber(place: Place, text: string, type: NumberType, operator: Operator): bigint | undefined {
  const { name, range } = type
  const value = parseInteger(text)
  if (value === undefined) {
    const expected = 'a decimal, 0x hexadecimal, 0 octal or 0b binary number'
    return place.refuse(`expected ${expected}, got ${show(text)}`)
  }
  if (value < range.min || value > range.max) {
    const expected = `${range.words} number for an argument of type ${name}`
    return place.refuse(`expected ${expected}, got ${show(text)}, which is out of range`)
  }
  if (operator === 'Mask' && value === 0n) return place.refuse('a mask of 0 never matches; expected at least one bit')
  return value
}

/**
 * Go's ParseInt with base 0, without underscores: sign, then 0x, 0o, 0b, a leading 0 for octal, else decimal. undefined for anything else,
 * and for texts longer than any 64-bit number.
 */
function parseInteger(text: string): bigint | undefined {
  const found = /^([+-]?)(?:(0x[0-9a-f]{1,64})|(0b[01]{1,64})|0o?([0-7]{1,64})|([1-9][0-9]{0,63}|0))$/i.exec(text)
  if (found === null) return undefined
  const [, sign, hex, binary, octal, decimal] = found
  const magnitude = BigInt(hex ?? binary ?? (octal === undefined ? (decimal ?? '0') : `0o${octal}`))
  return sign === '-' ? -magnitude : magnitude
}

function readText(place: Place, operator: Operator, maxBytes: number): string | undefined {
  const text = asText(place)
  if (text === undefined) return undefined
  // Tetragon trims NULs, because policies contain C-style texts such as "/etc/passwd\0".
  // The look-behind keeps the time linear: only the first NUL of a run is tried.
  const value = text.replace(/(?<!\0)\0+$/, '')
  if (value.includes('\0')) return place.refuse(`a text with NUL never matches a kernel string, got ${show(text)}`)
  return checkedText(place, value, operator, maxBytes)
}

function checkedText(place: Place, value: string, operator: Operator, maxBytes: number): string | undefined {
  if (value === '') return place.refuse(`expected a text of at least 1 byte, got ${describe(place.node)}`)
  if (!value.isWellFormed()) return place.refuse(`expected valid Unicode, got half a surrogate pair in ${show(value)}`)
  const bytes = Buffer.byteLength(value)
  const max = operator.endsWith('Postfix')
    ? MAX_POSTFIX_BYTES
    : operator.startsWith('SubString')
      ? MAX_PART_BYTES
      : maxBytes
  if (bytes > max) return place.refuse(`expected at most ${max} bytes for ${operator}, got ${bytes}`)
  return value
}

/** Reasons why a text is no path as the kernel writes it, each with the next step. */
const NO_PATH: ReadonlyArray<readonly [RegExp, string]> = [
  [/^\w+:\/\//, 'a path has no scheme; write it without'],
  [/^["'].*["']$/, 'its quotes are part of the path; remove them'],
  [/^\s+\/|\s$/, 'its first or last space is part of the path; remove it'],
  [/[,;:]\s*\//, 'its comma, colon or semicolon is part of the path; write each path as a value of its own'],
  [
    /^\^|\$$|\\[./ ]|\([^()|]*\||\[.-.\]|\{[^{},]*,/,
    'a value is no pattern; write whole paths, or operator Prefix or Postfix',
  ],
  [/^\/proc\/(?:thread-)?self(?:\/|$)/, 'the kernel writes /proc/PID; write operator Postfix with its end'],
]

/** Warns of valid values that match nothing, or everything but the meant texts. */
export function warnOfText(place: Place, operator: string, filter: 'text' | 'path'): void {
  const { text } = place
  const not = operator.startsWith('Not') ? 'Not' : ''
  if (/\{\{[^{}]*\}\}/.test(text) || (filter === 'path' && /\$(?:\w|[({]\w)/.test(text))) {
    place.warn(`${show(text)} stays as it is, because a policy has no variables or templates; write the text itself`)
  } else if (text.includes('*')) {
    let use = 'use Prefix or Postfix with the text before or after it'
    if (/^[^*]+\*+$/.test(text)) use = `write operator ${not}Prefix with ${show(text.replace(/\*+$/, ''))}`
    if (/^\*+[^*]+$/.test(text)) use = `write operator ${not}Postfix with ${show(text.replace(/^\*+/, ''))}`
    place.warn(`* is not a wildcard in ${show(text)}; ${use}`)
  } else if (filter === 'path') {
    const why = whyNoPath(text, operator)
    if (why !== undefined) place.warn(`no path matches ${show(text)}: ${why}`)
    else if (!/Postfix$|^SubString/.test(operator)) warnOfBeginning(place, not)
  }
}

/** Also for the paths of SameFile and UnderDir. */
export function whyNoPath(text: string, operator: string): string | undefined {
  const known = operator.startsWith('SubString') ? undefined : NO_PATH.find(([pattern]) => pattern.test(text))
  if (known !== undefined) return known[1]
  // More may stand before or after the text, so that its first or last name is not whole.
  const [before, after] = [/Postfix|SubString/, /Prefix|SubString/].map((part) => (part.test(operator) ? 'x' : ''))
  const whole = `${before}${text}${after}`
  if (posix.normalize(whole) !== whole)
    return `the kernel writes it without "//", "." and ".."; write ${show(posix.normalize(text))}`
  return text.endsWith('/') && after === '' && text !== '/'
    ? `the path of a folder does not end with "/"; write ${show(text.slice(0, -1))}, or operator Prefix for what is below`
    : undefined
}

function warnOfBeginning(place: Place, not: string): void {
  const { text } = place
  // `pipe:[7]` and `socket:[7]` are the paths of files without a name.
  if (!/^(?!\/|\w+:)./.test(text)) return
  const named = show(`/${text}`)
  const hint = text.includes('/')
    ? `did you mean ${named}?`
    : `write the whole path, or operator ${not}Postfix with ${named}`
  const next = text.startsWith('~') ? 'write the path of the home folder' : hint
  place.warn(`no path begins with ${show(text)}, because all paths begin with "/"; ${next}`)
}
