/** The filters of a selector on the calling task: its namespaces and capabilities at the call, and changes of them. */
import { didYouMean } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import { Fields, asText } from '../fields.ts'
import type { Place } from '../fields.ts'
import type {
  CapabilityChangeFilter,
  CapabilityFilter,
  NamespaceChangeFilter,
  NamespaceFilter,
  NamespaceKind,
  TaskFilter,
} from '../policy.ts'
import { KEYS } from '../tables.ts'
import { CAPABILITIES } from './capabilities.ts'
import { MEMBERSHIP, readName, readNamed, readValues } from './common.ts'

/** Maximum entries of matchNamespaces, as in Tetragon. */
export const MAX_NAMESPACES = 10
/** Maximum entries of matchCapabilities. Tetragon accepts more than one, but evaluates only the first. */
export const MAX_CAPABILITIES = 5
/** For each kind. The values of one entry already list the changes. */
export const MAX_CHANGES = 1
const MAX_INUM = 2 ** 32 - 1

export const NAMESPACES: ReadonlyMap<string, NamespaceKind> = new Map([
  ['Uts', 'uts'],
  ['Ipc', 'ipc'],
  ['Mnt', 'mnt'],
  ['Pid', 'pid'],
  ['PidForChildren', 'pidForChildren'],
  ['Net', 'net'],
  ['Time', 'time'],
  ['TimeForChildren', 'timeForChildren'],
  ['Cgroup', 'cgroup'],
  ['User', 'user'],
])

export const SETS: ReadonlyMap<string, CapabilityFilter['set']> = new Map([
  ['Effective', 'effective'],
  ['Inheritable', 'inheritable'],
  ['Permitted', 'permitted'],
])

const BITS: ReadonlyMap<string, 'Mask' | 'NotMask'> = new Map([
  ['In', 'Mask'],
  ['NotIn', 'NotMask'],
])

export function readTaskFilters(selector: Fields): TaskFilter[] {
  return [
    ...selector.list('matchNamespaces', MAX_NAMESPACES).flatMap((place) => readNamespaces(place) ?? []),
    ...selector.list('matchCapabilities', MAX_CAPABILITIES).flatMap((place) => readCapabilities(place) ?? []),
    ...selector.list('matchNamespaceChanges', MAX_CHANGES).flatMap((place) => readNamespaceChanges(place) ?? []),
    ...selector.list('matchCapabilityChanges', MAX_CHANGES).flatMap((place) => readCapabilityChanges(place) ?? []),
  ]
}

function readNamespaces(place: Place): NamespaceFilter | undefined {
  const fields = Fields.of(place, KEYS.namespaces)
  if (fields === undefined) return undefined
  const namespace = readName(fields, 'namespace', NAMESPACES, true, 'namespace')
  const operator = readName(fields, 'operator', MEMBERSHIP)
  const values = readValues(fields, 'a list of texts, such as ["host_ns"]')
    .map((value) => readNamespace(value))
    .filter((value) => value !== undefined)
  if (namespace === undefined || operator === undefined) return undefined
  return { class: 'namespace', namespace, operator, values, at: place.node.at }
}

function readNamespace(place: Place): number | 'host' | undefined {
  const text = asText(place)
  if (text === undefined) return undefined
  if (text === 'host_ns') return 'host'
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_INUM) return Number(text)
  const expected = 'expected host_ns or the inode number of a namespace, as in /proc/PID/ns'
  return place.refuse(
    `${expected}, got ${show(text)}${didYouMean(/^host/i.test(text) ? 'host_ns' : text, ['host_ns'])}`,
  )
}

function readCapabilities(place: Place): CapabilityFilter | undefined {
  const fields = Fields.of(place, KEYS.capabilities)
  return fields === undefined ? undefined : readCapabilitySet(fields, place)
}

function readNamespaceChanges(place: Place): NamespaceChangeFilter | undefined {
  const fields = Fields.of(place, KEYS.namespaceChanges)
  if (fields === undefined) return undefined
  const operator = readName(fields, 'operator', MEMBERSHIP)
  const named = readValues(fields, 'a list of namespaces, such as [Mnt, Net]').map((value) =>
    readNamed(value, NAMESPACES, true, 'namespace'),
  )
  if (operator === undefined || named.includes(undefined)) return undefined
  const namespaces = [...NAMESPACES.values()].filter((kind) => named.includes(kind) === (operator === 'Equal'))
  if (namespaces.length === 0 && operator === 'NotEqual') noneLeft(fields, 'namespaces')
  return { class: 'namespaceChange', namespaces, at: place.node.at }
}

function readCapabilityChanges(place: Place): CapabilityChangeFilter | undefined {
  const fields = Fields.of(place, KEYS.capabilityChanges)
  const read = fields === undefined ? undefined : readCapabilitySet(fields, place)
  if (fields === undefined || read === undefined) return undefined
  const { operator, ...filter } = read
  const all = (1n << BigInt(CAPABILITIES.length)) - 1n
  const mask = operator === 'Mask' ? filter.mask : all & ~filter.mask
  if (mask === 0n && operator === 'NotMask') noneLeft(fields, 'capabilities')
  return { ...filter, class: 'capabilityChange', mask }
}

function noneLeft(fields: Fields, what: string): void {
  fields.refuse('values', `NotIn with all ${what} matches no change; remove some, or use In`)
}

function readCapabilitySet(fields: Fields, place: Place): CapabilityFilter | undefined {
  const set = fields.get('type') === undefined ? 'effective' : readName(fields, 'type', SETS)
  const operator = readName(fields, 'operator', BITS)
  const outsideHost = fields.flag('isNamespaceCapability', false)
  const mask = readValues(fields, 'a list of capabilities, such as [CAP_SYS_ADMIN]').reduce(
    (bits, value) => bits | readCapability(value),
    0n,
  )
  if (set === undefined || operator === undefined) return undefined
  return { class: 'capability', set, operator, mask, outsideHost, at: place.node.at }
}

const withPrefix = (name: string): string => (/^cap_/i.test(name) ? name : `CAP_${name}`)

function readCapability(place: Place): bigint {
  const text = place.scalar
  // Tetragon spells this one without the prefix.
  const name = text === 'DAC_OVERRIDE' ? 'CAP_DAC_OVERRIDE' : text
  const number = CAPABILITIES.findIndex((each) => each === name)
  if (number >= 0) return 1n << BigInt(number)
  const got =
    typeof text === 'string' ? `${show(text)}${didYouMean(withPrefix(text), CAPABILITIES)}` : describe(place.node)
  place.refuse(`expected a capability such as CAP_SYS_ADMIN, got ${got}`)
  return 0n
}
