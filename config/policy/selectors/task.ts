/** The filters of a selector that ask for the calling task: its namespaces and capabilities at the call, and what of them has changed. */
import { didYouMean } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import type { Problems } from '../../yaml/problems.ts'
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

/** Tetragon's bound. */
export const MAX_NAMESPACES = 10
/** Tetragon only evaluates the first. */
export const MAX_CAPABILITIES = 5
/** Of each kind. More would say which of them: the values of one do. */
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

export function readTaskFilters(selector: Fields, problems: Problems): TaskFilter[] {
  return [
    ...selector.list('matchNamespaces', MAX_NAMESPACES).flatMap((place) => readNamespaces(place, problems) ?? []),
    ...selector.list('matchCapabilities', MAX_CAPABILITIES).flatMap((place) => readCapabilities(place, problems) ?? []),
    ...selector
      .list('matchNamespaceChanges', MAX_CHANGES)
      .flatMap((place) => readNamespaceChanges(place, problems) ?? []),
    ...selector
      .list('matchCapabilityChanges', MAX_CHANGES)
      .flatMap((place) => readCapabilityChanges(place, problems) ?? []),
  ]
}

function readNamespaces(place: Place, problems: Problems): NamespaceFilter | undefined {
  const fields = Fields.of(place, KEYS.namespaces, problems)
  if (fields === undefined) return undefined
  const namespace = readName(fields, 'namespace', NAMESPACES, problems, true, 'namespace')
  const operator = readName(fields, 'operator', MEMBERSHIP, problems)
  const values = readValues(fields, 'a list of texts, such as ["host_ns"]', problems)
    .map((value) => readNamespace(value, problems))
    .filter((value) => value !== undefined)
  if (namespace === undefined || operator === undefined) return undefined
  return { class: 'namespace', namespace, operator, values, at: place.node.at }
}

function readNamespace(place: Place, problems: Problems): number | 'host' | undefined {
  const text = asText(place, problems)
  if (text === undefined) return undefined
  if (text === 'host_ns') return 'host'
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_INUM) return Number(text)
  const expected = 'expected host_ns or the inode number of a namespace, as in /proc/PID/ns'
  problems.add(
    place.node.at,
    `${place.path}: ${expected}, got ${show(text)}${didYouMean(/^host/i.test(text) ? 'host_ns' : text, ['host_ns'])}`,
  )
  return undefined
}

function readCapabilities(place: Place, problems: Problems): CapabilityFilter | undefined {
  const fields = Fields.of(place, KEYS.capabilities, problems)
  return fields === undefined ? undefined : readCapabilitySet(fields, place, problems)
}

function readNamespaceChanges(place: Place, problems: Problems): NamespaceChangeFilter | undefined {
  const fields = Fields.of(place, KEYS.namespaceChanges, problems)
  if (fields === undefined) return undefined
  const operator = readName(fields, 'operator', MEMBERSHIP, problems)
  const named = readValues(fields, 'a list of namespaces, such as [Mnt, Net]', problems).map((value) =>
    readNamed(value, NAMESPACES, problems, true, 'namespace'),
  )
  if (operator === undefined || named.includes(undefined)) return undefined
  const namespaces = [...NAMESPACES.values()].filter((kind) => named.includes(kind) === (operator === 'Equal'))
  if (namespaces.length === 0 && operator === 'NotEqual') noneLeft(fields, 'namespaces', problems)
  return { class: 'namespaceChange', namespaces, at: place.node.at }
}

function readCapabilityChanges(place: Place, problems: Problems): CapabilityChangeFilter | undefined {
  const fields = Fields.of(place, KEYS.capabilityChanges, problems)
  const read = fields === undefined ? undefined : readCapabilitySet(fields, place, problems)
  if (fields === undefined || read === undefined) return undefined
  const { operator, ...filter } = read
  const all = (1n << BigInt(CAPABILITIES.length)) - 1n
  const mask = operator === 'Mask' ? filter.mask : all & ~filter.mask
  if (mask === 0n && operator === 'NotMask') noneLeft(fields, 'capabilities', problems)
  return { ...filter, class: 'capabilityChange', mask }
}

function noneLeft(fields: Fields, what: string, problems: Problems): void {
  const sentence = `NotIn with all ${what} matches no change; leave some out, or use In`
  problems.add(fields.keyAt('values'), `${fields.pathOf('values')}: ${sentence}`)
}

function readCapabilitySet(fields: Fields, place: Place, problems: Problems): CapabilityFilter | undefined {
  const set = fields.get('type') === undefined ? 'effective' : readName(fields, 'type', SETS, problems)
  const operator = readName(fields, 'operator', BITS, problems)
  const outsideHost = fields.flag('isNamespaceCapability', false)
  const mask = readValues(fields, 'a list of capabilities, such as [CAP_SYS_ADMIN]', problems).reduce(
    (bits, value) => bits | readCapability(value, problems),
    0n,
  )
  if (set === undefined || operator === undefined) return undefined
  return { class: 'capability', set, operator, mask, outsideHost, at: place.node.at }
}

const withPrefix = (name: string): string => (/^cap_/i.test(name) ? name : `CAP_${name}`)

function readCapability({ node, path }: Place, problems: Problems): bigint {
  const text = node.kind === 'scalar' ? node.value : undefined
  // Tetragon spells this one without the prefix.
  const name = text === 'DAC_OVERRIDE' ? 'CAP_DAC_OVERRIDE' : text
  const number = CAPABILITIES.findIndex((each) => each === name)
  if (number >= 0) return 1n << BigInt(number)
  const got = typeof text === 'string' ? `${show(text)}${didYouMean(withPrefix(text), CAPABILITIES)}` : describe(node)
  problems.add(node.at, `${path}: expected a capability such as CAP_SYS_ADMIN, got ${got}`)
  return 0n
}
