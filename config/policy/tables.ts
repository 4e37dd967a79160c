/**
 * All fields of Tetragon's policy language: those that this version supports (`own`) and those that it refuses by name (`later`).
 */
import { asHint, didYouMean } from '../yaml/suggest.ts'
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
  /** What people write instead of an own key, and what to do without a later one: the key, or a sentence. */
  readonly meant?: Readonly<Record<string, string>>
}

export const DOCUMENT_KEYS: KeyTable = {
  name: 'the top level',
  meant: {
    version: 'apiVersion',
    api_version: 'apiVersion',
    api: 'apiVersion',
    type: 'kind',
    name: 'write metadata: {name: ...}',
    meta: 'metadata',
  },
  own: ['apiVersion', 'kind', 'metadata', 'spec'],
}

export const METADATA_KEYS: KeyTable = {
  name: 'metadata',
  meant: { title: 'name', policy: 'name', id: 'name' },
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
  meant: {
    hooks: 'kprobes',
    probes: 'kprobes',
    functions: 'kprobes',
    kprobe_multi: 'kprobes',
    events: 'tracepoints',
    rawTracepoints: 'tracepoints',
    lsm: 'lsmhooks',
    lsmHooks: 'lsmhooks',
    list: 'lists',
    macros: 'selectorsMacros',
    selectorMacros: 'selectorsMacros',
    pods: 'podSelector',
    containers: 'containerSelector',
    host: 'hostSelector',
    nodes: 'nodeSelector',
    option: 'options',
    // Of older versions of Tetragon.
    killers: 'enforcers',
    enforcer: 'enforcers',
    rawtracepoints: 'write raw: true into an item of tracepoints',
  },
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
  meant: { pods: 'podSelector', containers: 'containerSelector', host: 'hostSelector' },
  own: ['podSelector', 'containerSelector', 'hostSelector'],
}

export const LABELS_KEYS: KeyTable = {
  name: 'a selector of labels',
  meant: { labels: 'matchLabels', expressions: 'matchExpressions' },
  own: ['matchLabels', 'matchExpressions'],
}

export const EXPRESSION_KEYS: KeyTable = {
  name: 'an item of matchExpressions',
  meant: { label: 'key', op: 'operator', value: 'values' },
  own: ['key', 'operator', 'values'],
}

export const LIST_KEYS: KeyTable = {
  name: 'an item of lists',
  meant: {
    id: 'name',
    list: 'values',
    functions: 'values',
    syscalls: 'values',
    calls: 'values',
    kind: 'type',
    regex: 'pattern',
    regexp: 'pattern',
  },
  own: ['name', 'type', 'values', 'pattern', 'validated'],
}

export const OPTION_KEYS: KeyTable = {
  name: 'an item of options',
  meant: { key: 'name', option: 'name' },
  own: ['name', 'value'],
}

export const KPROBE_KEYS: KeyTable = {
  name: 'a hook',
  meant: {
    name: 'call',
    function: 'call',
    func: 'call',
    symbol: 'call',
    hook: 'call',
    probe: 'call',
    kprobe: 'call',
    arguments: 'args',
    params: 'args',
    match: 'selectors',
    filters: 'selectors',
    returns: 'return',
    ret: 'return',
    retval: 'returnArg',
    returnValue: 'returnArg',
    description: 'message',
    msg: 'message',
    isSyscall: 'syscall',
    optional: 'write ignore: {callNotFound: true}',
    callNotFound: 'write ignore: {callNotFound: true}',
    action: 'write it into a selector: matchActions: [{action: ...}]',
    actions: 'write them into a selector: matchActions',
  },
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
  meant: { notFound: 'callNotFound', missing: 'callNotFound' },
  own: ['callNotFound'],
}

export const ARGUMENT_KEYS: KeyTable = {
  name: 'an item of args',
  meant: {
    idx: 'index',
    arg: 'index',
    position: 'index',
    pos: 'index',
    number: 'index',
    kind: 'type',
    name: 'label',
    // Of older versions of Tetragon.
    extractParam: 'resolve',
    overwriteType: 'write the type of what resolve leads to as type',
    size: 'sizeArgIndex',
    sizeIndex: 'sizeArgIndex',
  },
  own: ['index', 'type', 'label', 'resolve', 'btfType', 'sizeArgIndex', 'returnCopy', 'maxData', 'source'],
  later: ['btfTypeModule'],
}

export const SELECTOR_KEYS: KeyTable = {
  name: 'an item of selectors',
  meant: {
    args: 'matchArgs',
    matchArguments: 'matchArgs',
    match: 'matchArgs',
    matchBinary: 'matchBinaries',
    matchAction: 'matchActions',
    binaries: 'matchBinaries',
    matchPids: 'matchPIDs',
    pids: 'matchPIDs',
    actions: 'matchActions',
    macro: 'macros',
    matchReturnActions: 'leave it out: ktrail acts at the entry of a call, by matchActions',
  },
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
  own: SELECTOR_KEYS.own.filter((key) => key !== 'macros'),
}

export const FILTER_KEYS: KeyTable = {
  name: 'an item of matchArgs',
  meant: {
    op: 'operator',
    operand: 'operator',
    operation: 'operator',
    condition: 'operator',
    value: 'values',
    val: 'values',
    vals: 'values',
    patterns: 'values',
    arg: 'index',
    argIndex: 'index',
    idx: 'index',
    position: 'index',
  },
  own: ['index', 'args', 'operator', 'values'],
  ours: ['sticky'],
}

export const ACTION_KEYS: KeyTable = {
  name: 'an item of matchActions',
  meant: {
    name: 'action',
    type: 'action',
    signal: 'argSig',
    sig: 'argSig',
    error: 'argError',
    errno: 'argError',
    limit: 'rateLimit',
    scope: 'rateLimitScope',
    kernelStack: 'kernelStackTrace',
    userStack: 'userStackTrace',
  },
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

/** For a key that the table does not have: a hint, which ends the message. */
export function keyHint(key: string, table: KeyTable): string {
  const { own, ours = [], later = [], meant = {} } = table
  const known = Object.hasOwn(meant, key) ? meant[key] : undefined
  if (known !== undefined) return asHint(known)
  const home = TABLES.find(
    (other) => other !== table && [...other.own, ...(other.ours ?? []), ...(other.later ?? [])].includes(key),
  )
  if (home !== undefined) return `; it belongs in ${home.name}`
  return didYouMean(key, [...own, ...ours, ...later]) || `; expected one of ${own.join(', ')}`
}
