/** Fields of the filters of a selector on processes: each a KeyTable of ../tables.ts. */
export const BINARIES_KEYS = {
  name: 'an item of matchBinaries',
  meant: { op: 'operator', value: 'values', binaries: 'values', paths: 'values', follow: 'followChildren' },
  own: ['operator', 'values', 'followChildren'],
}

export const PIDS_KEYS = {
  name: 'an item of matchPIDs',
  meant: { op: 'operator', value: 'values', pids: 'values', followChildren: 'followForks' },
  own: ['operator', 'values', 'isNamespacePID', 'followForks'],
}

export const NAMESPACES_KEYS = {
  name: 'an item of matchNamespaces',
  meant: { op: 'operator', value: 'values', ns: 'namespace', type: 'namespace', namespaces: 'namespace' },
  own: ['namespace', 'operator', 'values'],
}

export const CAPABILITIES_KEYS = {
  name: 'an item of matchCapabilities',
  meant: { op: 'operator', value: 'values', set: 'type', capabilities: 'values' },
  own: ['type', 'operator', 'isNamespaceCapability', 'values'],
}

export const NAMESPACE_CHANGES_KEYS = {
  name: 'an item of matchNamespaceChanges',
  meant: { op: 'operator', value: 'values', namespace: 'values', namespaces: 'values' },
  own: ['operator', 'values'],
}

export const CAPABILITY_CHANGES_KEYS = { ...CAPABILITIES_KEYS, name: 'an item of matchCapabilityChanges' }
