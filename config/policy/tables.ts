/**
 * All fields of Tetragon's policy language: those that this version supports (`own`) and those that it refuses by name (`later`).
 */
import { asHint, didYouMean, meant } from '../yaml/suggest.ts'
import {
  BINARIES_KEYS,
  PIDS_KEYS,
  NAMESPACES_KEYS,
  CAPABILITIES_KEYS,
  NAMESPACE_CHANGES_KEYS,
  CAPABILITY_CHANGES_KEYS,
} from './selectors/tables.ts'

export interface KeyTable {
  /** Where its keys are, for hints about a key in another place. */
  readonly name: string
  /** Names that this version supports. */
  readonly own: readonly string[]
  /** Additions of ktrail's, for files that say so. */
  readonly ours?: readonly string[]
  /** Names that Tetragon (or Kubernetes) supports and this version does not. */
  readonly later?: readonly string[]
  /** The owner of the `later` names; default Tetragon. */
  readonly owner?: string
  /** The table whose hints in config/yaml/suggestions.json it shares. */
  readonly hints?: string
}

export const DOCUMENT_KEYS: KeyTable = {
  name: 'the top level',
  own: ['apiVersion', 'kind', 'metadata', 'spec'],
}

export const METADATA_KEYS: KeyTable = {
  name: 'metadata',
  own: ['name', 'namespace', 'labels', 'annotations'],
  later: [
    'generateName',
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'ownerReferences',
    'finalizers',
    'managedFields',
    'selfLink',
  ],
  owner: 'Kubernetes',
}

/** A policy may have one of these. */
export const HOOK_SECTIONS: readonly string[] = ['kprobes', 'fentries', 'tracepoints', 'lsmhooks', 'uprobes', 'usdts']

export const SPEC_KEYS: KeyTable = {
  name: 'spec',
  own: [
    'kprobes',
    'fentries',
    'lsmhooks',
    'tracepoints',
    'lists',
    'options',
    'selectorsMacros',
    'podSelector',
    'containerSelector',
    'hostSelector',
    'nodeSelector',
    'enforcers',
  ],
  later: ['uprobes', 'usdts', 'loader'],
}

/** Which pods, containers and host processes are asked: of a policy, and of a selector. */
export const WORKLOADS_KEYS: KeyTable = {
  name: 'matchWorkloads',
  own: ['podSelector', 'containerSelector', 'hostSelector'],
}

export const LABELS_KEYS: KeyTable = {
  name: 'a selector of labels',
  own: ['matchLabels', 'matchExpressions'],
}

export const EXPRESSION_KEYS: KeyTable = {
  name: 'an item of matchExpressions',
  own: ['key', 'operator', 'values'],
}

export const LIST_KEYS: KeyTable = {
  name: 'an item of lists',
  own: ['name', 'type', 'values', 'pattern', 'validated'],
}

export const OPTION_KEYS: KeyTable = {
  name: 'an item of options',
  own: ['name', 'value'],
}

export const KPROBE_KEYS: KeyTable = {
  name: 'a hook',
  own: [
    'call',
    'syscall',
    'return',
    'returnArg',
    'args',
    'selectors',
    'message',
    'tags',
    'ignore',
    'returnArgAction',
    'data',
  ],
  ours: ['aggregate', 'fileDetails'],
}

export const IGNORE_KEYS: KeyTable = {
  name: 'ignore',
  own: ['callNotFound'],
}

export const ARGUMENT_KEYS: KeyTable = {
  name: 'an item of args',
  own: ['index', 'type', 'label', 'resolve', 'btfType', 'sizeArgIndex', 'returnCopy', 'maxData', 'source'],
  later: ['btfTypeModule'],
}

export const SELECTOR_KEYS: KeyTable = {
  name: 'an item of selectors',
  own: [
    'matchArgs',
    'matchData',
    'matchReturnArgs',
    'matchBinaries',
    'matchParentBinaries',
    'matchPIDs',
    'matchNamespaces',
    'matchCapabilities',
    'matchNamespaceChanges',
    'matchCapabilityChanges',
    'matchWorkloads',
    'matchActions',
    'macros',
    'label',
  ],
  later: ['matchReturnActions'],
}

/** What a selector may have, without macros: those do not nest. */
export const MACRO_KEYS: KeyTable = {
  ...SELECTOR_KEYS,
  name: 'an item of selectorsMacros',
  hints: SELECTOR_KEYS.name,
  own: SELECTOR_KEYS.own.filter((key) => key !== 'macros'),
}

export const FILTER_KEYS: KeyTable = {
  name: 'an item of matchArgs',
  own: ['index', 'args', 'operator', 'values'],
  ours: ['sticky'],
}

export const ACTION_KEYS: KeyTable = {
  name: 'an item of matchActions',
  own: ['action', 'argSig', 'argError', 'rateLimit', 'rateLimitScope', 'kernelStackTrace', 'userStackTrace'],
  later: [
    'argFd',
    'argName',
    'argUrl',
    'argFqdn',
    'argSock',
    'argIndex',
    'argValue',
    'argRegs',
    'argNewSymbol',
    'argNewAddr',
    'argNewOffset',
    'imaHash',
  ],
}

const TABLES: readonly KeyTable[] = [
  DOCUMENT_KEYS,
  METADATA_KEYS,
  SPEC_KEYS,
  LIST_KEYS,
  OPTION_KEYS,
  KPROBE_KEYS,
  SELECTOR_KEYS,
  FILTER_KEYS,
  BINARIES_KEYS,
  PIDS_KEYS,
  NAMESPACES_KEYS,
  CAPABILITIES_KEYS,
  NAMESPACE_CHANGES_KEYS,
  CAPABILITY_CHANGES_KEYS,
  WORKLOADS_KEYS,
  EXPRESSION_KEYS,
  ACTION_KEYS,
  ARGUMENT_KEYS,
]

/** Returns the hint for a key that the table does not have: the key to write, or a sentence. */
export function meantKey(key: string, { name, hints = name }: KeyTable): string | undefined {
  return meant(`policy ${hints}`, key)
}

/** For a key that the table does not have: a hint, which ends the message. */
export function keyHint(key: string, table: KeyTable): string {
  const { own, ours = [], later = [] } = table
  const known = meantKey(key, table)
  if (known !== undefined) return asHint(known)
  const home = TABLES.find(
    (other) => other !== table && [...other.own, ...(other.ours ?? []), ...(other.later ?? [])].includes(key),
  )
  if (home !== undefined) return `; it belongs in ${home.name}`
  return didYouMean(key, [...own, ...ours, ...later]) || `; expected one of ${own.join(', ')}`
}
