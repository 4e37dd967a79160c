/** Where arguments are in the kernel's structs: `resolve` of a policy, and its place by the running kernel's types. */
import { Fields, asText } from '../fields.ts'
import { show } from '../../yaml/problems.ts'

/** PLACE_STEPS of bpf/frame/filter.h; as in Tetragon. */
const MAX_DEPTH = 10
const PATH = /^(?:[A-Za-z_]\w*|\[\d{1,9}\])(?:\.[A-Za-z_]\w*|\[\d{1,9}\])*$/

export interface Resolve {
  /** From the argument on, such as `file.f_path` or `numbers[0].nr`. */
  readonly path: string
  /** The struct of the argument; undefined: that of the function's prototype. */
  readonly struct: string | undefined
}

/** One member of a struct. */
export interface Place {
  /** Offsets of the pointers to follow. */
  readonly steps: readonly number[]
  readonly last: number
  /** 0: the address of the member is meant. */
  readonly sizeBytes: number
  readonly signed: boolean
  readonly bit: number
  readonly bits: number
  /** Most bytes to read if the member is or points to a text; 0: it does not. */
  readonly textBytes: number
  readonly user: boolean
  /** Bytes behind struct object_info. */
  readonly at: number
}

/** Places that are read instead of the parameter; made for one kernel (collector/plan/functions/places.ts). */
export interface Places {
  /** From 1 on; equal for equal places. */
  readonly number: number
  /** One, or one for each member of an object; none for bytes. */
  readonly list: readonly Place[]
  /** Bytes of all members of an object. */
  readonly bytes: number
}

/** `resolve` and `btfType` of an argument; undefined when absent, and after a problem. */
export function readResolve(fields: Fields): Resolve | undefined {
  const place = fields.get('resolve')
  const typeAt = fields.get('btfType')
  const struct = typeAt && asText(typeAt)?.replace(/^(?:struct|union)\s+/, '')
  if (typeAt !== undefined && struct !== undefined && !/^[A-Za-z_]\w*$/.test(struct))
    return typeAt.refuse(`expected the name of a struct, such as cred, got ${show(struct)}`)
  if (place === undefined) {
    if (typeAt !== undefined) {
      fields.warn('btfType', 'has no effect without resolve; add resolve, or remove btfType')
    }
    return undefined
  }
  const path = asText(place)
  if (path === undefined) return undefined
  // Tetragon takes '' as no path.
  if (path === '' && fields.get('source') === undefined) return undefined
  if (!PATH.test(path)) {
    const expected = 'expected names of members and numbers of elements, such as mm.owner.comm or numbers[0].nr'
    return place.refuse(`${expected}, got ${show(path)}`)
  }
  const depth = path.split(/[.[]/).filter(Boolean).length
  if (depth > MAX_DEPTH) return place.refuse(`expected at most ${MAX_DEPTH} members and elements, got ${depth}`)
  return { path, struct }
}
