/** The filters of a selector that ask for the process of a call, as parts of the schema (schema.ts). */
import { CAPABILITIES } from '../../config/policy/selectors/capabilities.ts'
import { MEMBERSHIP } from '../../config/policy/selectors/common.ts'
import { MAX_PID, MAX_PIDS, PROGRAM } from '../../config/policy/selectors/process.ts'
import { MAX_CAPABILITIES, MAX_CHANGES, MAX_NAMESPACES, NAMESPACES, SETS } from '../../config/policy/selectors/task.ts'
import {
  BINARIES_KEYS,
  CAPABILITIES_KEYS,
  CAPABILITY_CHANGES_KEYS,
  NAMESPACES_KEYS,
  NAMESPACE_CHANGES_KEYS,
  PIDS_KEYS,
} from '../../config/policy/selectors/tables.ts'
import { MAX_VALUES } from '../../config/policy/values.ts'
import { flag, list, mapping, oneOf } from './mapping.ts'
import type { Schema } from './mapping.ts'

const programs = mapping(
  BINARIES_KEYS,
  'Matches when the path of the program fits one of the values; with an operator that begins with Not, when it fits none.',
  {
    operator: oneOf(PROGRAM.keys(), 'How the path is compared.'),
    values: list({ type: 'string' }, 'Paths, or their beginnings or ends.', MAX_VALUES, 1),
    followChildren: flag('Whether descendants of such a program count too; with In and NotIn only.', false),
  },
  ['operator', 'values'],
)

const pids = mapping(
  PIDS_KEYS,
  'Matches when the pid is one of the values; with NotIn, when it is none.',
  {
    operator: oneOf(MEMBERSHIP.keys(), 'How the pid is compared.'),
    values: list({ type: 'integer', minimum: 0, maximum: MAX_PID }, 'Pids.', MAX_VALUES, 1),
    isNamespacePID: flag("Whether the pid is that in the process's own pid namespace.", false),
    followForks: flag('Whether descendants of such a process count too.', false),
  },
  ['operator', 'values'],
)

const namespaces = mapping(
  NAMESPACES_KEYS,
  'Matches when the namespace of the calling task is one of the values; with NotIn, when it is none.',
  {
    namespace: oneOf(NAMESPACES.keys(), 'Which namespace.'),
    operator: oneOf(MEMBERSHIP.keys(), 'How the namespace is compared.'),
    values: list({ type: 'string' }, 'Inode numbers, or host_ns.', MAX_VALUES, 1),
  },
  ['namespace', 'operator', 'values'],
)

const capabilitySet = {
  type: oneOf(SETS.keys(), 'Which set of capabilities; default Effective.'),
  operator: oneOf(MEMBERSHIP.keys(), 'Whether it is one of them.'),
  isNamespaceCapability: flag("Whether only tasks outside the host's user namespace match.", false),
  values: list(oneOf([...CAPABILITIES, 'DAC_OVERRIDE'], 'A capability.'), 'Capabilities.', MAX_VALUES, 1),
}

const capabilities = mapping(
  CAPABILITIES_KEYS,
  'Matches when the calling task has one of the capabilities; with NotIn, when it has none.',
  capabilitySet,
  ['operator', 'values'],
)

const capabilityChanges = mapping(
  CAPABILITY_CHANGES_KEYS,
  'Matches when the process has gained or lost one of the capabilities; with NotIn, another one.',
  capabilitySet,
  ['operator', 'values'],
)

const namespaceChanges = mapping(
  NAMESPACE_CHANGES_KEYS,
  'Matches when the process has another one of the namespaces than before; with NotIn, of the others.',
  {
    operator: oneOf(MEMBERSHIP.keys(), 'Whether the namespace is one of them.'),
    values: list(oneOf(NAMESPACES.keys(), 'A namespace.'), 'Namespaces.', MAX_VALUES, 1),
  },
  ['operator', 'values'],
)

/** By their keys in a selector. */
export const onProcesses: Readonly<Record<string, Schema>> = {
  matchBinaries: list(programs, 'The program of the process.', 1),
  matchParentBinaries: list(programs, "The program of the process's parent.", 1),
  matchPIDs: list(pids, 'Pids of the process; all filters must match.', MAX_PIDS),
  matchNamespaces: list(namespaces, 'Namespaces of the calling task; all filters must match.', MAX_NAMESPACES),
  matchCapabilities: list(capabilities, 'Capabilities of the calling task; all filters must match.', MAX_CAPABILITIES),
  matchNamespaceChanges: list(namespaceChanges, 'What the process has changed since it last matched.', MAX_CHANGES),
  matchCapabilityChanges: list(capabilityChanges, 'What the process has changed since it last matched.', MAX_CHANGES),
}
