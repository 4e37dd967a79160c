/** Fields of the filters of a selector on processes: each a KeyTable of ../tables.ts. */
export const BINARIES_KEYS = {
  name: 'an item of matchBinaries',
  own: ['operator', 'values', 'followChildren'],
}

export const PIDS_KEYS = {
  name: 'an item of matchPIDs',
  own: ['operator', 'values', 'isNamespacePID', 'followForks'],
}

export const NAMESPACES_KEYS = {
  name: 'an item of matchNamespaces',
  own: ['namespace', 'operator', 'values'],
}

export const CAPABILITIES_KEYS = {
  name: 'an item of matchCapabilities',
  own: ['type', 'operator', 'isNamespaceCapability', 'values'],
}

export const NAMESPACE_CHANGES_KEYS = {
  name: 'an item of matchNamespaceChanges',
  own: ['operator', 'values'],
}

export const CAPABILITY_CHANGES_KEYS = {
  ...CAPABILITIES_KEYS,
  name: 'an item of matchCapabilityChanges',
  hints: CAPABILITIES_KEYS.name,
}
