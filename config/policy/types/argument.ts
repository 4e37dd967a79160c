/** The items of `args` and `data`, and `returnArg`: which values are read, and how. */
import { asHint, didYouMean, notOneOf } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'
import { describe } from '../../yaml/tree.ts'
import { LATER_TYPES, NEVER_KPROBE_TYPES, TYPES, meantType } from '../arguments.ts'
import type { ArgumentType } from '../arguments.ts'
import { Fields, asInteger, notSupported } from '../fields.ts'
import type { Place } from '../fields.ts'
import type { ArgumentSpec } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { readSize } from './bytes.ts'
import { readResolve } from './places.ts'
import { readRegister } from './registers.ts'

/** BPF can read five arguments, because of the calling conventions. */
export const MAX_ARGS = 5
const MAX_INDEX = MAX_ARGS - 1
/** Rules for the arguments that a kind of hook may list. */
export interface Listable {
  readonly types: readonly ArgumentType[]
  readonly maxIndex: number
  /** For values that are no parameters: their name in messages about types and `resolve` that they do not support. */
  readonly of?: string
  /** Meaning of `index`, for the message when it is missing. */
  readonly position: string
  /** Default index; absent: a policy must have it. */
  readonly fallback?: number
  /** Default type; absent: a policy must have it. */
  readonly untyped?: ArgumentType
  /** Set where `resolve` may begin at a value that is no parameter of a function, such as a pointer in a raw tracepoint. */
  readonly resolves?: true
  /** Allowed values of `source`; absent: there is no `source`. */
  readonly sources?: ReadonlyArray<NonNullable<ArgumentSpec['source']>>
}

export const OF_FUNCTION: Listable = {
  types: TYPES,
  maxIndex: MAX_INDEX,
  position: `the position in the function's prototype, from 0 to ${MAX_INDEX}`,
}

/** By position in the list; undefined for a wrong entry, which was reported. */
export function readArguments(fields: Fields, listable: Listable = OF_FUNCTION): Array<ArgumentSpec | undefined> {
  const first = new Map<string, string>()
  return fields.list('args', MAX_ARGS).map((place) => {
    const spec = readArgument(place, listable)
    if (spec === undefined) return undefined
    const { struct = '', path } = spec.resolve ?? {}
    const what = path === undefined ? `index ${spec.index}` : `index ${spec.index} with this resolve`
    const key = `${what} ${struct} ${path}`
    const taken = first.get(key)
    if (taken !== undefined) place.refuse(`${what} is already used by ${taken}`)
    first.set(key, taken ?? place.path)
    return spec
  })
}

const DATA: Listable = { ...OF_FUNCTION, fallback: 0, sources: ['current_task', 'pt_regs'] }

/** `data`: values of the calling task and of registers. By position, as `readArguments`. */
export function readData(fields: Fields, before: number): Array<ArgumentSpec | undefined> {
  const places = fields.list('data', MAX_ARGS)
  if (places.length > 0 && before + places.length > MAX_ARGS) {
    const got = `${before} and ${places.length}`
    fields.refuse('data', `expected at most ${MAX_ARGS} items of args and data together, got ${got}`)
  }
  return places.map((place) => {
    const spec = readArgument(place, DATA)
    return spec?.source === undefined ? undefined : { ...spec, index: MAX_ARGS }
  })
}

export function readArgument(
  place: Place,
  { types, maxIndex, position, fallback, untyped, of, resolves, sources }: Listable,
): ArgumentSpec | undefined {
  const fields = Fields.of(place, KEYS.argument)
  if (fields === undefined) return undefined
  const indexAt = fallback === undefined ? fields.need('index', position) : fields.get('index')
  const index = indexAt === undefined ? fallback : asInteger(indexAt, 0, maxIndex)
  const typeAt = untyped === undefined ? fields.need('type', `one of ${names(types).join(', ')}`) : fields.get('type')
  const type = typeAt === undefined ? untyped : readType(typeAt, types, of)
  const label = fields.textAt('label')?.text ?? ''
  const source = readSource(fields, sources)
  const register = source === 'pt_regs' ? readRegister(fields) : undefined
  const resolve = source === 'pt_regs' ? undefined : readResolve(fields)
  const size = readSize(fields, type)
  const maxData = fields.flag('maxData', false)
  if (maxData && type !== undefined && type.kind !== 'bytes') {
    fields.warn('maxData', `has no effect on type ${type.name}; remove it`)
  }
  if (sources !== undefined && source !== 'pt_regs') {
    fields.need('resolve', 'the path to a member of the task, such as mm.owner.comm')
  }
  const whose = type?.kind === 'bytes' ? `type ${type.name}` : resolves ? undefined : of
  if ((resolve !== undefined || register !== undefined) && whose !== undefined) {
    place.refuse(`resolve is not supported for ${whose} by this version of ktrail`)
  }
  return index === undefined || type === undefined
    ? undefined
    : {
        index,
        type,
        label,
        ...(source === undefined ? {} : { source }),
        ...(register === undefined ? {} : { register }),
        ...(resolve === undefined ? {} : { resolve }),
        ...(size === undefined ? {} : { size }),
        ...(maxData && type.kind === 'bytes' ? { maxData } : {}),
        at: place.node.at,
      }
}

/** `known`: undefined where `source` is not allowed. */
function readSource(fields: Fields, known: Listable['sources']): ArgumentSpec['source'] {
  const expected = known?.join(' or ')
  const place = expected === undefined ? fields.textAt('source') : fields.needText('source', expected)
  const source = known?.find((each) => each === place?.text)
  if (place === undefined || source !== undefined) return source
  const written = place.text
  if (expected !== undefined) {
    place.refuse(`expected ${expected}, got ${show(written)}${didYouMean(written, known ?? [])}`)
  } else if (written !== '') {
    place.refuse(`an item of args is a parameter; move it to data of the hook`)
  }
  return undefined
}

function readType(place: Place, types: readonly ArgumentType[], of: string | undefined): ArgumentType | undefined {
  const text = place.scalar
  const type = types.find(({ name }) => name === text)
  if (type !== undefined) return type
  const expected = `expected one of ${names(types).join(', ')}`
  if (typeof text !== 'string') {
    place.refuse(`${expected}, got ${describe(place.node)}`)
  } else if (NEVER_KPROBE_TYPES.includes(text)) {
    place.refuse(`type ${show(text)} applies only to fields of tracepoints; ${expected}`)
  } else if (LATER_TYPES.includes(text)) {
    place.refuse(`${notSupported('argument type', text)}; ${expected}`)
  } else if (of !== undefined && names(TYPES).includes(text)) {
    place.refuse(`type ${show(text)} is not supported for ${of} by this version of ktrail; ${expected}`)
  } else {
    const meant = meantType(text)
    const hint = meant === undefined ? didYouMean(text, [...names(TYPES), ...LATER_TYPES]) : asHint(meant)
    place.refuse(notOneOf(names(types), show(text), hint, 'type'))
  }
  return undefined
}

function names(types: readonly ArgumentType[]): string[] {
  return types.map(({ name }) => name)
}
