/** Finds members of the kernel's structs that policies need: `resolve` paths and the members of objects. */
import { typeNamed } from '../../../config/policy/arguments.ts'
import type { ArgumentType, NumberRange } from '../../../config/policy/arguments.ts'
import type { ArgumentSpec, HookSpec, NumberFilter } from '../../../config/policy/policy.ts'
import type { ObjectMember } from '../../../config/policy/types/objects.ts'
import type { Place, Places } from '../../../config/policy/types/places.ts'
import type { KernelFunction, KernelMember } from '../../../native/types.ts'
import type { Report } from './misfits.ts'
import { padded } from '../../wire/values.ts'
import { MEMBERS_MAX, OBJECT_BYTES, PLACE_STEPS } from '../../wire/wire.ts'

/** By path, as `kernelMembers` of native takes it. */
export type MemberOf = (path: string) => KernelMember | undefined

/** Gives equal keys equal numbers, from 1 on. */
export type Numbering = (key: string) => number

/** Most numbers that `value.places` of bpf/event.h can hold. */
const NUMBERS_MAX = 0xffff

export function numbering(): Numbering {
  const known = new Map<string, number>()
  return (key) => {
    const number = known.get(key) ?? known.size + 1
    if (number > NUMBERS_MAX)
      throw new Error(`policies have used more than ${NUMBERS_MAX} different members so far: restart ktrail`)
    known.set(key, number)
    return number
  }
}

/** The struct that a resolve path begins in; undefined without one. */
function structOf(
  { index, resolve, source }: ArgumentSpec,
  spec: HookSpec,
  type: KernelFunction | undefined,
): string | undefined {
  if (resolve?.struct !== undefined) return resolve.struct
  if (source === 'current_task') return 'task_struct'
  if (spec.syscall) return undefined
  return /^(?:const )?(?:struct|union) (\w+) \*(?:const)?$/.exec(type?.params[index]?.base ?? '')?.[1]
}

/** Whether the argument is read somewhere else than in the parameter. */
export const isPlaced = ({ type, resolve, size }: ArgumentSpec): boolean =>
  resolve !== undefined || type.object !== undefined || type.pointed === true || size !== undefined

/** The paths to look up in the kernel's types. */
export function pathsOf(spec: HookSpec, type: KernelFunction | undefined): string[] {
  return spec.args.filter(isPlaced).flatMap((arg) => {
    const struct = arg.resolve === undefined ? arg.type.object?.struct : structOf(arg, spec, type)
    if (struct === undefined) return []
    const { path } = arg.resolve ?? { path: '' }
    const inner = (arg.type.object?.members ?? []).map((member) => joined(struct, path, member.path))
    return path === '' ? inner : [`${struct} ${path}`, ...inner]
  })
}

const joined = (struct: string, path: string, member: string): string =>
  `${struct} ${path}${path === '' || member.startsWith('[') ? '' : '.'}${member}`

/**
 * The argument with its places in this kernel, if it has any. With `resolve` the member's own type decides how an integer is read, as in Tetragon.
 * A text: why it has none.
 */
export function placedArgument(
  arg: ArgumentSpec,
  spec: HookSpec,
  type: KernelFunction | undefined,
  memberOf: MemberOf,
  number: Numbering,
): ArgumentSpec | string {
  if (!isPlaced(arg)) return arg
  const { resolve } = arg
  if (resolve === undefined) {
    const { object, read } = arg.type
    if (arg.size !== undefined) {
      const { param, read: size, returned } = arg.size
      return { ...arg, places: { number: number(`bytes ${param} ${size} ${returned}`), list: [], bytes: 0 } }
    }
    if (object !== undefined) return { ...arg, places: objectOf(arg, object.struct, '', memberOf, number) }
    const list = [placeOf(FIRST, VALUE_BYTES)]
    return { ...arg, places: { number: number(`pointed ${read}`), list, bytes: 0 } }
  }
  const struct = structOf(arg, spec, type)
  if (struct === undefined) {
    return `resolve: the struct that the argument points to is not known; name it with btfType`
  }
  const found = memberOf(`${struct} ${resolve.path}`)
  if (found === undefined || found.problem !== '') {
    return `resolve: ${found?.problem ?? 'this kernel has no type information'}`
  }
  if (found.offsets.length > PLACE_STEPS + 1) return `resolve: expected at most ${PLACE_STEPS} pointers on the way`
  const address = addressOf(found)
  const fits = address === undefined ? arg.type.filter === 'number' : arg.type.parameter.test(address)
  const read = address === undefined && arg.type.named === undefined ? integerOf(found) : arg.type
  if (!fits || read === undefined) {
    return `resolve: type "${arg.type.name}" does not fit, the member's is "${found.base}"`
  }
  if (read.object !== undefined) return { ...arg, places: objectOf(arg, struct, resolve.path, memberOf, number) }
  const list = [read.pointed === true ? pointedBy(found) : placeOf(found, isInside(found) ? 0 : found.sizeBytes)]
  return { ...arg, type: read, places: { number: number(`${struct} ${resolve.path} ${read.read}`), list, bytes: 0 } }
}

const isInside = ({ base }: KernelMember): boolean =>
  !base.includes('*') && (base.endsWith(']') || /^(?:const )?(?:struct|union) /.test(base))

/** The type of a parameter that would lead to the member: a pointer itself, or to a struct or an array; undefined for an integer. */
function addressOf(found: KernelMember): string | undefined {
  if (found.base.includes('*')) return found.base
  return isInside(found) ? `${found.base.replace(/ \[\d+\]$/, '')} *` : undefined
}

/** The value at a pointer, or in place of the pointer. */
function pointedBy(found: KernelMember): Place {
  const place = placeOf(found, VALUE_BYTES)
  return found.base.includes('*') ? { ...place, steps: [...place.steps, place.last], last: 0 } : place
}

const integerOf = ({ signed, sizeBytes }: KernelMember): ArgumentType | undefined =>
  typeNamed(`${signed ? 'int' : 'uint'}${8 * sizeBytes}`)

/** A member as kernelMembers gives it. */
const FIRST: KernelMember = { offsets: [0], base: '', sizeBytes: 8, signed: false, bit: 0, bits: 0, problem: '' }
const VALUE_BYTES = 8
/** More than a value has, so the kernel side reads nothing. */
const NOWHERE_BYTES = 255

function placeOf({ offsets, signed, bit, bits }: KernelMember, sizeBytes: number): Place {
  return {
    steps: offsets.slice(0, -1),
    last: offsets.at(-1) ?? 0,
    sizeBytes,
    signed,
    bit,
    bits,
    textBytes: 0,
    user: false,
    at: 0,
  }
}

/** A member that this kernel does not have is never read: the record has it as one that could not be read. */
function objectOf({ type }: ArgumentSpec, struct: string, path: string, memberOf: MemberOf, number: Numbering): Places {
  let at = 0
  const list = (type.object?.members ?? []).slice(0, MEMBERS_MAX).map((member: ObjectMember): Place => {
    const found = memberOf(joined(struct, path, member.path))
    const { textBytes = 0, user = false } = member
    const here = at
    at += padded(textBytes === 0 ? 8 : textBytes)
    if (found === undefined || found.problem !== '') {
      return { ...placeOf(FIRST, NOWHERE_BYTES), textBytes, user, at: here }
    }
    // The text is in the struct, or behind a pointer (or a number that is one).
    const isArray = textBytes > 0 && found.base.endsWith(']')
    return { ...placeOf(found, isArray ? 0 : Math.min(VALUE_BYTES, found.sizeBytes)), textBytes, user, at: here }
  })
  if (at > OBJECT_BYTES) throw new Error(`${type.name}: ${at} bytes of members, expected at most ${OBJECT_BYTES}`)
  return { number: number(`${struct} ${path} ${type.name}`), list, bytes: at }
}

/** The address of a Unix socket with the parameter that is its length: an abstract name has no end of its own. */
function withLength(arg: ArgumentSpec, { syscall }: HookSpec, { params }: KernelFunction): ArgumentSpec {
  const param = arg.index + 1
  const isLength = arg.source === undefined && (syscall || params[param]?.name.endsWith('len') === true)
  return arg.type.read === 'sockaddrUn' && isLength
    ? { ...arg, size: { param, read: 'u32', returned: undefined } }
    : arg
}

/** The hook with its arguments as they are in this kernel. */
export function withPlaces(
  spec: HookSpec,
  type: KernelFunction,
  memberOf: MemberOf,
  number: Numbering,
  report: Report,
): HookSpec {
  if (!spec.args.some((arg) => isPlaced(arg) || arg.type.read === 'sockaddrUn')) return spec
  const args = spec.args.map((arg) => {
    const found = isPlaced(arg) ? placedArgument(arg, spec, type, memberOf, number) : withLength(arg, spec, type)
    if (typeof found !== 'string') return found
    const what = arg.source === undefined ? `argument ${arg.index}` : 'data'
    report(arg.at, `${what} of ${spec.call}: ${found}`)
    return arg
  })
  return { ...spec, args, selectors: inRanges(spec, args) }
}

/** The selectors without values that are out of the range of their argument's type. */
export function inRanges({ selectors }: HookSpec, args: readonly ArgumentSpec[]): HookSpec['selectors'] {
  return selectors.map((selector) => ({
    ...selector,
    matchArgs: selector.matchArgs.map((filter) => {
      const range = rangeOf(args[filter.arg])
      return filter.class === 'number' && range !== undefined ? inRange(filter, range) : filter
    }),
  }))
}

const rangeOf = (arg: ArgumentSpec | undefined): NumberRange | undefined =>
  arg !== undefined && 'range' in arg.type ? arg.type.range : undefined

/**
 * The filter without values outside the range. The policy may name a wider type: the kernel side would take the largest uint64 for -1
 * of an int.
 */
function inRange(filter: NumberFilter, { min, max }: NumberRange): NumberFilter {
  const { operator, values } = filter
  if (operator === 'Mask') return filter
  const [below, above] = [values.some((value) => value < min), values.some((value) => value > max)]
  if ((operator === 'GreaterThan' && below) || (operator === 'LessThan' && above)) {
    return { ...filter, operator: 'NotEqual', values: [] }
  }
  const possible = values.filter((value) => value >= min && value <= max)
  const never = possible.length === 0 && operator !== 'NotEqual'
  return { ...filter, operator: never ? 'Equal' : operator, values: possible }
}
