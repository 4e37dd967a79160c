/** Resolves the arguments of a policy's tracepoint, by the kernel's format, to parameters of the hook. */
import { plural } from '../../../config/base/counts.ts'
import { SYSCALL64, typeNamed } from '../../../config/policy/arguments.ts'
import type { ArgumentType } from '../../../config/policy/arguments.ts'
import type { ArgumentSpec, HookSpec } from '../../../config/policy/policy.ts'
import { suggest } from '../../../config/yaml/suggest.ts'
import type { KernelFunction } from '../../../native/types.ts'
import type { Report } from '../functions/misfits.ts'
import { inRanges, placedArgument } from '../functions/places.ts'
import type { MemberOf, Numbering } from '../functions/places.ts'
import type { EventField } from './fields.ts'
import { TRACEFS } from './format.ts'
import type { FormatField } from './format.ts'

/** A hook whose arguments have the numbers of parameters, and how each is read. */
export interface Traced {
  readonly spec: HookSpec
  readonly fields: readonly EventField[]
}

/** The kernel's information about tracepoints. */
export interface Tracepoints {
  /** By `subsystem:event`. */
  format(name: string): readonly FormatField[] | undefined
  names(): readonly string[]
  functionType(name: string): KernelFunction | undefined
  readonly memberOf: MemberOf
}

export const isTracepoint = ({ type }: Pick<HookSpec, 'type'>): boolean =>
  type === 'tracepoint' || type === 'rawTracepoint'

/** In the kernel's types: a pointer to the function that a raw tracepoint calls. Its first parameter is the kernel's own. */
export const rawType = (call: string): string => `btf_trace_${call.slice(call.indexOf(':') + 1)}`

/** The type of the function of a raw tracepoint without the kernel's own parameter. */
export const ofRaw = (type: KernelFunction | undefined): KernelFunction | undefined =>
  type && { ...type, params: type.params.slice(1) }

/** Undefined after at least one report. */
export function resolve(spec: HookSpec, kernel: Tracepoints, number: Numbering, report: Report): Traced | undefined {
  const read = spec.type === 'tracepoint' ? fieldOf(spec, kernel, report) : argumentOf(spec, kernel, number, report)
  if (read === undefined) return undefined
  const found = spec.args.map((arg) => read(arg)).filter((each) => each !== undefined)
  if (found.length < spec.args.length) return undefined
  // Filters name arguments by their position in this list, which stays.
  const args = found.map(({ arg, type }, index) => ({ ...arg, index, type }))
  const resolved = args.some(({ places }) => places !== undefined)
  return {
    spec: { ...spec, args, selectors: resolved ? inRanges(spec, args) : spec.selectors },
    fields: found.map(({ field }) => field),
  }
}

interface Read {
  readonly arg: ArgumentSpec
  readonly type: ArgumentType
  readonly field: EventField
}

type Reader = (arg: ArgumentSpec) => Read | undefined

function missing(spec: HookSpec, kernel: Tracepoints): string {
  const names = kernel.names()
  const near = suggest(spec.call, names)
  if (names.length === 0) {
    return `no tracepoint "${spec.call}": cannot read ${TRACEFS[0]}/available_events; mount tracefs there, and run ktrail as root`
  }
  const hint = near === undefined ? `see ${TRACEFS[0]}/available_events for the names` : `did you mean ${near}?`
  return `no tracepoint "${spec.call}" in this kernel: ${hint}`
}

function fieldOf(spec: HookSpec, kernel: Tracepoints, report: Report): Reader | undefined {
  const format = kernel.format(spec.call)
  if (format === undefined) {
    report(spec.at, missing(spec, kernel))
    return undefined
  }
  return (arg) => {
    const field = format[arg.index]
    if (field === undefined) {
      const own = format.slice(4).map(({ name }, i) => `${i + 4} ${name}`)
      const has = own.length === 0 ? 'the event has no fields of its own' : `the event has ${own.join(', ')}`
      report(arg.at, `argument index ${arg.index} of ${spec.call}: expected 0 to ${format.length - 1}; ${has}`)
      return undefined
    }
    // The kernel's copies of a caller's texts are behind the part that it gives to BPF programs.
    const known = spec.call.startsWith('syscalls:') && isLocated(field) ? undefined : howToRead(field, arg.type)
    if (known !== undefined) return { arg, ...known }
    const what = `argument ${arg.index} of ${spec.call}`
    report(arg.at, `${what}: type "${arg.type.name}" does not fit, the kernel's is "${field.type}" (${field.name})`)
    return undefined
  }
}

const isLocated = ({ type }: FormatField): boolean => /^__(?:data|rel)_loc /.test(type)

/** Undefined if the type does not fit. */
function howToRead(field: FormatField, wanted: ArgumentType): Omit<Read, 'arg'> | undefined {
  const { type: cType, offset, bytes, signed } = field
  const type = wanted.name === 'auto' ? automatic(field) : wanted
  if (type === undefined) return undefined
  const as = (kind: EventField['kind']): Omit<Read, 'arg'> => ({ type, field: { offset, bytes, kind } })
  if (type.kind === 'none') return as('unsigned')
  if (/^__data_loc (?:const )?char \[\]$/.test(cType)) return type.filter === 'text' ? as('located') : undefined
  if (/^__rel_loc (?:const )?char \[\]$/.test(cType)) return type.filter === 'text' ? as('locatedOn') : undefined
  if (/^char \[\d+\]$/.test(cType)) return type.name === 'string' ? as('place') : undefined
  if (cType.includes('[')) return undefined
  // Tracepoints show many structs as addresses of anything.
  const points =
    /^(?:const )?void \*$/.test(cType) && (type.kind === 'struct' || type.kind === 'file') && type.filter !== 'number'
  if (!points && !type.parameter.test(cType)) return undefined
  if (type === SYSCALL64) return as('syscall')
  return as(signed ? 'signed' : 'unsigned')
}

/** A field's type if the policy names none; undefined if ktrail cannot read it. */
function automatic({ type, bytes, signed }: FormatField): ArgumentType | undefined {
  if (/\bchar (?:\*|\[)/.test(type)) return typeNamed('string')
  if (type === 'size_t') return typeNamed('size_t')
  if (/[*[]|^(?:struct|union) /.test(type) || ![1, 2, 4, 8].includes(bytes)) return undefined
  return typeNamed(`${signed ? '' : 'u'}int${8 * bytes}`)
}

const POINTER_BYTES = 8

function argumentOf(spec: HookSpec, kernel: Tracepoints, number: Numbering, report: Report): Reader | undefined {
  const type = ofRaw(kernel.functionType(rawType(spec.call)))
  if (type === undefined) {
    report(spec.at, missing(spec, kernel))
    return undefined
  }
  const { params } = type
  return (arg) => {
    const param = params[arg.index]
    const what = `argument ${arg.index} of raw tracepoint ${spec.call}`
    if (param === undefined) {
      const takes = `it has ${plural(params.length, 'argument')}${params.length === 0 ? '' : `: ${params.map((each) => each.type).join(', ')}`}`
      report(arg.at, `argument index ${arg.index} of raw tracepoint ${spec.call}: ${takes}`)
      return undefined
    }
    const field = { offset: POINTER_BYTES * arg.index, bytes: POINTER_BYTES, kind: 'unsigned' } as const
    if (arg.resolve !== undefined) {
      const placed = placedArgument(arg, spec, type, kernel.memberOf, number)
      if (typeof placed !== 'string') return { arg: placed, type: placed.type, field }
      report(arg.at, `${what}: ${placed}`)
      return undefined
    }
    if (!arg.type.parameter.test(param.base)) {
      report(arg.at, `${what}: type "${arg.type.name}" does not fit, the kernel's is "${param.type}"`)
      return undefined
    }
    return { arg, type: arg.type, field: arg.type === SYSCALL64 ? { ...field, kind: 'syscall' } : field }
  }
}
