/**
 * All fields of Tetragon's policy language: those that this version supports (`own`) and those that it refuses by name (`later`).
 */
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

/** A policy may have one of these. */
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
