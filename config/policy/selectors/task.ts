/** The filters of a selector that ask for the calling task, as it is at the call: matchNamespaces, matchCapabilities. */
import { didYouMean } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import type { Problems } from '../../yaml/problems.ts'
import { Fields, asText } from '../fields.ts'
import type { Place } from '../fields.ts'
import type { CapabilityFilter, NamespaceFilter, NamespaceKind, TaskFilter } from '../policy.ts'
import { CAPABILITIES_KEYS, NAMESPACES_KEYS } from '../tables.ts'
import { CAPABILITIES } from './capabilities.ts'
import { MEMBERSHIP, readName, readValues } from './common.ts'

/** Tetragon's bound. */
export const MAX_NAMESPACES = 10
/** Tetragon only evaluates the first. */
export const MAX_CAPABILITIES = 5
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
  ]
}

function readNamespaces(place: Place, problems: Problems): NamespaceFilter | undefined {
  const fields = Fields.of(place, NAMESPACES_KEYS, problems)
  if (fields === undefined) return undefined
  const namespace = readName(fields, 'namespace', NAMESPACES, problems, true)
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
  problems.add(place.node.at, `${place.path}: ${expected}, got ${show(text)}${didYouMean(text, ['host_ns'])}`)
  return undefined
}

function readCapabilities(place: Place, problems: Problems): CapabilityFilter | undefined {
  const fields = Fields.of(place, CAPABILITIES_KEYS, problems)
  if (fields === undefined) return undefined
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

function readCapability({ node, path }: Place, problems: Problems): bigint {
  const text = node.kind === 'scalar' ? node.value : undefined
  // Tetragon spells this one without the prefix.
  const name = text === 'DAC_OVERRIDE' ? 'CAP_DAC_OVERRIDE' : text
  const number = CAPABILITIES.findIndex((each) => each === name)
  if (number >= 0) return 1n << BigInt(number)
  const got = typeof text === 'string' ? `${show(text)}${didYouMean(text, CAPABILITIES)}` : describe(node)
  problems.add(node.at, `${path}: expected a capability such as CAP_SYS_ADMIN, got ${got}`)
  return 0n
}
