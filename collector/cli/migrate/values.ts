/** The settings of Tetragon's agent in a file: flags, the ConfigMap of its chart, or values of the chart. */
import { isMapping } from '../../../config/base/parsed.ts'

/** By the name of the flag. */
export type Flags = Readonly<Record<string, string>>

export interface Settings {
  readonly flags: Flags
  /** Values of the chart that are no settings of the agent. */
  readonly others: readonly string[]
  /** The chart's container that prints the file of events. */
  readonly printed: boolean
}

type Values = Readonly<Record<string, unknown>>

/** Values of Tetragon's chart below `tetragon`, and the flag that its ConfigMap sets from each. */
const FLAGS: Readonly<Record<string, string>> = {
  btf: 'btf',
  clusterName: 'cluster-name',
  debug: 'debug',
  enableK8sAPI: 'enable-k8s-api',
  enableKeepSensorsOnExit: 'keep-sensors-on-exit',
  enablePolicyFilter: 'enable-policy-filter',
  enableProcessCred: 'enable-process-cred',
  enableProcessNs: 'enable-process-ns',
  exportAllowList: 'export-allowlist',
  exportDenyList: 'export-denylist',
  exportFileCompress: 'export-file-compress',
  exportFileMaxBackups: 'export-file-max-backups',
  exportFileMaxSizeMB: 'export-file-max-size-mb',
  exportFilePerm: 'export-file-perm',
  exportRateLimit: 'export-rate-limit',
  fieldFilters: 'field-filters',
  processCacheSize: 'process-cache-size',
  redactionFilters: 'redaction-filters',
}

/** Defaults of the chart that differ from those of the agent. */
const DEFAULTS: Flags = {
  'export-allowlist':
    '{"event_set":["PROCESS_EXEC","PROCESS_EXIT","PROCESS_KPROBE","PROCESS_UPROBE","PROCESS_TRACEPOINT","PROCESS_LSM"]}',
  'export-denylist': '{"health_check":true}\n{"namespace":["","cilium","kube-system"]}',
  'enable-k8s-api': 'true',
}

/** Why these are no settings of Tetragon; undefined if they can be. */
export function foreign(root: Values): string | undefined {
  const kind = text(root['kind'] ?? '')
  if (/^TracingPolicy(?:Namespaced)?$/.test(kind))
    return `it is a ${kind}, which ktrail reads as it is: run ktrail check FILE, and name it under policies: in the config`
  const expected = "expected settings of Tetragon's agent, its ConfigMap, or values of its chart"
  if (kind !== '' && kind !== 'ConfigMap') return `${expected}, got an object of kind ${kind}`
  if (kind !== '' || isOfChart(root)) return undefined
  const nested = Object.keys(root).filter((key) => isMapping(root[key]) || [root[key]].flat().some(isMapping))
  return nested.length === 0 ? undefined : `${expected}, got ${nested.slice(0, 3).join(', ')} with keys below`
}

const isOfChart = (root: Values): boolean =>
  ['tetragon', 'tetragonOperator', 'export', 'exportDirectory', 'rthooks'].some((key) => key in root)

export function settingsOf(root: Values): Settings {
  const data = mapping(root['data'])
  if (root['kind'] === 'ConfigMap') return { flags: textsOf(data), others: [], printed: false }
  return isOfChart(root) ? ofChart(root) : { flags: textsOf(root), others: [], printed: false }
}

function ofChart(root: Values): Settings {
  const { tetragon: own, exportDirectory = '/var/run/cilium/tetragon', export: exported, ...rest } = root
  const { exportFilename = 'tetragon.log', extraArgs, prometheus, grpc, cri, hostProcPath, ...agent } = mapping(own)
  const known = Object.entries(agent).filter(([key]) => Object.hasOwn(FLAGS, key))
  const flags: Record<string, unknown> = {
    ...DEFAULTS,
    ...(exportFilename !== '' && { 'export-filename': `${text(exportDirectory)}/${text(exportFilename)}` }),
    ...Object.fromEntries(known.map(([key, value]) => [FLAGS[key] ?? key, value])),
    'metrics-server': address({ address: '', port: 2112, ...mapping(prometheus) }),
    ...(grpc !== undefined &&
      mapping(grpc)['enabled'] !== false && { 'server-address': mapping(grpc)['address'] ?? '' }),
    ...(hostProcPath !== undefined && { procfs: hostProcPath }),
    ...(mapping(cri)['enabled'] === true && { 'enable-cri': 'true', 'cri-endpoint': mapping(cri)['socketHostPath'] }),
    ...mapping(extraArgs),
  }
  const unknown = Object.keys(agent).filter((key) => !Object.hasOwn(FLAGS, key) && key !== 'enabled')
  return {
    flags: textsOf(flags),
    others: [...unknown.map((key) => `tetragon.${key}`), ...Object.keys(rest)],
    printed: (mapping(exported)['mode'] ?? 'stdout') === 'stdout',
  }
}

function address({ enabled, address: host, port }: Values): string {
  return enabled === false ? '' : `${text(host)}:${text(port)}`
}

function mapping(value: unknown): Values {
  return isMapping(value) ? value : {}
}

function textsOf(values: Values): Flags {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, text(value)]))
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(',')
  return typeof value === 'object' ? (value === null ? '' : JSON.stringify(value)) : String(value).trim()
}
