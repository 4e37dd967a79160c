/** `spec.lists`: named lists of functions, for hooks with `call: list:NAME`. */
import { didYouMean } from '../yaml/suggest.ts'
import { show } from '../yaml/problems.ts'
import { Fields, asText } from './fields.ts'
import type { Place } from './fields.ts'
import type { GeneratedCalls } from './policy.ts'
import { callMistake } from './system-calls.ts'
import { KEYS } from './tables.ts'
import { parseRegex } from '../base/regex.ts'

/** Prefix of the name of a list in a call. */
export const LIST = 'list:'

export const MAX_LISTS = 64
export const MAX_LISTED = 1024
/** Most functions of lists at all places that name one; bounds the time of a policy that names a long list often. */
const MAX_NAMED = 65_536
/** KSYM_NAME_LEN, include/linux/kallsyms.h, without the NUL. */
const MAX_SYMBOL_BYTES = 511

/** A function of a list; `syscall` wins over the hook's. */
export interface ListedCall {
  readonly name: string
  readonly syscall?: boolean
  /** It stands for functions that only a kernel can list. */
  readonly generated?: GeneratedCalls
}

/** Prefixes of kernel functions by Tetragon's names of ABIs. */
const ABIS: ReadonlyMap<string, string> = new Map([
  ['x64', '__x64_'],
  ['arm64', '__arm64_'],
  ['i386', '__ia32_'],
])

/** In the order of messages. The content of the generated ones depends on the kernel. */
export const LIST_TYPES: readonly string[] = ['syscalls', 'generated_syscalls', 'generated_ftrace']

export class Lists {
  readonly #lists = new Map<string, readonly ListedCall[]>()
  #named = 0

  static of(spec: Fields): Lists {
    const lists = new Lists()
    for (const place of spec.list('lists', MAX_LISTS)) lists.#read(place)
    return lists
  }

  /** The functions of a list that a call refers to; a list that is missing is a problem. */
  callsOf(name: string, place: Place): readonly ListedCall[] {
    const calls = this.#lists.get(name)
    this.#named += calls?.length ?? 0
    if (this.#named > MAX_NAMED) {
      place.refuse(`expected at most ${MAX_NAMED} functions of lists at all places that name one; split the policy`)
      return []
    }
    if (calls !== undefined) return calls
    const names = [...this.#lists.keys()]
    const known = names.length === 0 ? 'the policy has no lists' : `the policy has ${names.join(', ')}`
    place.refuse(`no list is named ${show(name)}; ${known}${didYouMean(name, names)}`)
    return []
  }

  #read(place: Place): void {
    const fields = Fields.of(place, KEYS.list)
    if (fields === undefined) return
    const named = fields.needText('name', 'the name of the list')
    const name = named?.text ?? ''
    const type = fields.textAt('type')?.text ?? ''
    if (this.#lists.has(name)) named?.refuse(`another list is named ${show(name)}`)
    const calls = type.startsWith('generated_') ? readGenerated(fields, type, name) : readCalls(fields, type)
    if (named !== undefined) this.#lists.set(name, calls)
  }
}

/** One call, which the functions of the kernel replace. */
function readGenerated(fields: Fields, type: string, name: string): ListedCall[] {
  const values = fields.get('values')
  if (values !== undefined && !values.isEmptyList) {
    values.refuse(`a list of type ${type} gets its values from the kernel; remove values`)
  }
  if (type === 'generated_syscalls') {
    refusePattern(fields, type)
    return [{ name: LIST + name, syscall: true, generated: { of: 'syscalls' } }]
  }
  if (type !== 'generated_ftrace') return unknownType(fields, type)
  const place = fields.needText('pattern', 'a regular expression for names of functions, such as "^ksys_"')
  if (place === undefined) return []
  const pattern = place.text
  const regex = parseRegex(pattern)
  if (pattern === '') place.refuse('expected a regular expression, got an empty text')
  else if (typeof regex === 'string') place.refuse(`${regex}, got ${show(pattern)}`)
  return [{ name: LIST + name, syscall: false, generated: { of: 'ftrace', pattern } }]
}

function refusePattern(fields: Fields, type: string): void {
  if (fields.get('pattern') === undefined) return
  const got = type === '' ? 'a list without type' : `a list of type ${type}`
  fields.refuse('pattern', `applies to type generated_ftrace, not to ${got}; remove it`)
}

function unknownType(fields: Fields, type: string): ListedCall[] {
  const expected = `expected ${LIST_TYPES.join(', ')}, or no type for kernel functions`
  fields.get('type')?.refuse(`${expected}, got ${show(type)}${didYouMean(type, LIST_TYPES)}`)
  return []
}

function readCalls(fields: Fields, type: string): ListedCall[] {
  if (type !== '' && type !== 'syscalls') return unknownType(fields, type)
  refusePattern(fields, type)
  return fields.needList('values', 'a list of functions', MAX_LISTED).flatMap((value) => {
    const text = asText(value)
    if (text === undefined) return []
    if (type !== 'syscalls') {
      checkCall(text, undefined, value)
      return [{ name: text }]
    }
    const name = withAbi(text, value)
    if (name !== undefined) checkCall(name, true, value)
    return name === undefined ? [] : [{ name, syscall: true as const }]
  })
}

/** `x64/sys_dup` → `__x64_sys_dup`. */
function withAbi(text: string, place: Place): string | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return text
  const prefix = ABIS.get(text.slice(0, slash))
  const name = text.slice(slash + 1)
  if (prefix !== undefined) return name.startsWith('__') ? name : prefix + name
  return place.refuse(`expected one of ${[...ABIS.keys()].join(', ')} before the slash, got ${show(text)}`)
}

/** `syscall`: undefined when it is not known. */
export function checkCall(call: string, syscall: boolean | undefined, place: Place): void {
  if (!/^[A-Za-z_][A-Za-z0-9_.]*$/.test(call) || call.length > MAX_SYMBOL_BYTES) {
    // A dot is legal: compilers name clones foo.isra.0 and foo.constprop.0.
    const hint = call.includes(',') ? '; write a hook for each' : didYouMean(call, /[A-Za-z_][\w.]*/.exec(call) ?? [])
    place.refuse(`expected the name of a kernel function, got ${show(call)}${hint}`)
    return
  }
  const mistake = syscall === undefined ? undefined : callMistake(call, syscall)
  if (mistake?.sure === true) place.refuse(mistake.message)
  else if (mistake !== undefined) place.warn(mistake.message)
}
