/**
 * Every field, argument type and operator that Tetragon's policy language has (tetragon.md §1, §2), split into what
 * this version understands and what it refuses by name. A field that becomes supported moves from `later` to `own`.
 */
import type { ArgumentType, Operator } from './policy.ts'
import type { KeyTable } from './fields.ts'

export const DOCUMENT_KEYS: KeyTable = { own: ['apiVersion', 'kind', 'metadata', 'spec'] }

export const METADATA_KEYS: KeyTable = {
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

/** A policy may have one of these non-empty (§1.1). */
export const HOOK_SECTIONS: readonly string[] = ['kprobes', 'fentries', 'tracepoints', 'lsmhooks', 'uprobes', 'usdts']

export const SPEC_KEYS: KeyTable = {
  own: ['kprobes'],
  later: [
    'fentries',
    'tracepoints',
    'lsmhooks',
    'uprobes',
    'usdts',
    'loader',
    'lists',
    'enforcers',
    'podSelector',
    'containerSelector',
    'hostSelector',
    'nodeSelector',
    'options',
    'selectorsMacros',
  ],
}

export const KPROBE_KEYS: KeyTable = {
  own: ['call', 'syscall', 'return', 'returnArg', 'args', 'selectors', 'message', 'tags', 'ignore'],
  later: ['returnArgAction', 'data'],
}

export const IGNORE_KEYS: KeyTable = { own: ['callNotFound'] }

export const ARGUMENT_KEYS: KeyTable = {
  own: ['index', 'type', 'label'],
  later: ['sizeArgIndex', 'returnCopy', 'maxData', 'resolve', 'source', 'btfType', 'btfTypeModule'],
}

export const SELECTOR_KEYS: KeyTable = {
  own: ['matchArgs'],
  later: [
    'label',
    'macros',
    'matchPIDs',
    'matchBinaries',
    'matchParentBinaries',
    'matchNamespaces',
    'matchCapabilities',
    'matchNamespaceChanges',
    'matchCapabilityChanges',
    'matchWorkloads',
    'matchData',
    'matchReturnArgs',
    'matchActions',
    'matchReturnActions',
  ],
}

export const FILTER_KEYS: KeyTable = { own: ['index', 'args', 'operator', 'values'] }

const TEXT_OPERATORS: readonly Operator[] = [
  'Equal',
  'NotEqual',
  'In',
  'NotIn',
  'Prefix',
  'NotPrefix',
  'Postfix',
  'NotPostfix',
]
const INTEGER_OPERATORS: readonly Operator[] = ['Equal', 'NotEqual', 'In', 'NotIn', 'Mask']

/** What may be asked of an argument of each type. */
export const OPERATORS_OF: Readonly<Record<ArgumentType, readonly Operator[]>> = {
  file: TEXT_OPERATORS,
  path: TEXT_OPERATORS,
  string: TEXT_OPERATORS,
  int: INTEGER_OPERATORS,
  uint32: INTEGER_OPERATORS,
  size_t: INTEGER_OPERATORS,
  uint64: INTEGER_OPERATORS,
  nop: [],
}

export const OPERATORS: readonly Operator[] = [...TEXT_OPERATORS, 'Mask']

export const LATER_OPERATORS: readonly string[] = (
  'GreaterThan LessThan GT LT SPort NotSPort SPortPriv NotSportPriv DPort NotDPort DPortPriv NotDPortPriv ' +
  'SAddr NotSAddr DAddr NotDAddr Protocol Family State InMap NotInMap CapabilitiesGained InRange NotInRange ' +
  'SubString SubStringIgnCase CelExpr FileType NotFileType'
).split(' ')

export const TYPES: readonly ArgumentType[] = ['file', 'path', 'int', 'uint32', 'size_t', 'uint64', 'string', 'nop']

export const RETURN_TYPES: readonly ArgumentType[] = ['int', 'uint32', 'size_t', 'uint64']

/** In Tetragon's schema, but refused there too for a kprobe (§1.3). */
export const NEVER_KPROBE_TYPES: readonly string[] = ['auto', 'syscall64']

export const LATER_TYPES: readonly string[] = (
  'sint8 int8 uint8 sint16 int16 uint16 sint32 int32 ulong long sint64 int64 char_buf char_iovec skb sock ' +
  'sockaddr socket sockaddr_un fd filename bpf_attr perf_event bpf_map user_namespace capability kiocb iov_iter ' +
  'cred const_buf load_info module kernel_cap_t cap_inheritable cap_permitted cap_effective linux_binprm data_loc ' +
  'net_device bpf_cmd dentry bpf_prog'
).split(' ')
