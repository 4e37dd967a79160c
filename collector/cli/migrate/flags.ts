/** The keys of a config that correspond to flags of Tetragon's agent. */
import { DEFAULT_SERVER } from '../../../config/base/addresses.ts'
import type { Flags } from './values.ts'

/** Throws an Error with the reason if a value has no counterpart. */
type Convert = (value: string, flags: Flags) => object

const yes =
  (key: string): Convert =>
  (value) => ({ [key]: value === 'true' })
const list = (value: string): string[] => value.split(',').map((each) => each.trim())
const tlsOf = (flags: Flags): object => {
  const [cert, key, ca] = ['cert-file', 'key-file', 'client-ca-files'].map((name) => flags[`server-tls-${name}`])
  if (!cert || !key || !ca)
    throw new Error(`server.grpc on host and port requires server.tls; the default is ${DEFAULT_SERVER}`)
  return { tls: { cert_file: cert, key_file: key, ca_file: list(ca)[0] } }
}
const tls: Convert = (_, flags) => ({ server: tlsOf(flags) })

/** Keys of the config, by flag. */
export const TOP: Readonly<Record<string, Convert>> = {
  'tracing-policy': (value) => ({ policies: [value] }),
  'tracing-policy-dir': (value) => ({ policies: [value] }),
  'metrics-server': (value) => ({ server: { http: value.replace(/^:/, '0.0.0.0:') } }),
  'server-address': (value, flags) => {
    const isSocket = value === '' || value.startsWith('unix:')
    return { server: { grpc: value === '' ? 'disabled' : value, ...(!isSocket && tlsOf(flags)) } }
  },
  'server-tls-cert-file': tls,
  'server-tls-key-file': tls,
  'server-tls-client-ca-files': tls,
  'server-tls-require-client-cert': tls,
  'enable-k8s-api': (value, flags) => ({
    kubernetes: { pods: value === 'true', policies: flags['enable-tracing-policy-crd'] !== 'false' },
  }),
  'enable-tracing-policy-crd': () => ({}),
  'k8s-kubeconfig-path': (value) => ({ kubernetes: { kubeconfig: value } }),
  'enable-cri': (value) => (value === 'true' ? { containers: {} } : {}),
  'cri-endpoint': (value) => ({ containers: { sockets: [value.replace(/^unix:\/\//, '')] } }),
  'enable-process-cred': yes('enable_process_cred'),
  'enable-process-ns': yes('enable_process_ns'),
  'enable-process-environment-variables': yes('enable_process_environment_variables'),
  'filter-environment-variables': (value) => ({ filter_environment_variables: list(value) }),
  'username-metadata': (value) => ({ username_metadata: value }),
  'expose-stack-addresses': yes('expose_stack_addresses'),
  'enable-ancestors': (value) => ({ enable_ancestors: list(value) }),
  procfs: (value) => (value === '/procRoot' ? {} : { procfs: value }),
  debug: (value) => (value === 'true' ? { log: { level: 'debug' } } : {}),
  'log-level': (value) => ({ log: { level: value } }),
  'log-format': (value) => ({ log: { format: value } }),
  'rb-size-total': (value) => ({ ring: { size: powerOfTwo(value) } }),
  'disable-kprobe-multi': (value) => (value === 'true' ? { attach: { mode: 'kprobe' } } : {}),
}

/** Keys of a file exporter, by flag. */
export const OF_FILE: Readonly<Record<string, Convert>> = {
  'export-file-max-size-mb': (value) => ({ rotate: { max_size: `${value}MiB` } }),
  'export-file-rotation-interval': (value) => ({ rotate: { interval: duration(value) } }),
  'export-file-max-backups': (value) => ({ rotate: { max_files: Number(value) } }),
  'export-file-compress': (value) => ({ rotate: { compress: value === 'true' } }),
  'export-file-perm': (value) => ({ mode: value.padStart(4, '0') }),
}

/** Keys of every exporter, by flag. */
export const OF_EXPORTER: Readonly<Record<string, Convert>> = {
  'export-rate-limit': (value) => (Number(value) < 0 ? {} : { rate_limit: { events: Number(value), per: '1m' } }),
  'export-allowlist': (value) => ({ filter: { allow: filters(value) } }),
  'export-denylist': (value) => ({ filter: { deny: filters(value) } }),
  'field-filters': (value) => ({ fields: filters(value) }),
  'redaction-filters': (value) => ({ redact: filters(value) }),
}

/** Reasons for flags without a counterpart. */
export const WITHOUT: Readonly<Record<string, string>> = {
  'cluster-name': 'set cluster_name of an exporter of type otlp',
  'process-cache-size': 'memory.process_table is in bytes; its default holds 100,000 processes',
  'rb-size': 'ring.size is for all CPUs together',
  'metrics-label-filter': 'metrics have no labels of pods, except by kubernetes.metrics_by_namespace',
  'health-server-address': 'health is /livez and /readyz of server.http',
  'enable-policy-filter': 'policies for pods and namespaces always work',
  'keep-sensors-on-exit': 'the kernel removes all programs when the agent ends',
}

/** Tetragon's lists are JSON objects, one after the other, with keys in snake or camel case. */
function filters(value: string): object[] {
  const parsed: unknown = JSON.parse(`[${value.replaceAll(/\}\s*\n\s*\{/g, '},{')}]`)
  const found = Array.isArray(parsed) ? parsed.flat() : []
  return found.map((each: unknown) =>
    Object.fromEntries(
      Object.entries(Object(each)).map(([key, inner]) => [
        key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        inner,
      ]),
    ),
  )
}

/** `1h30m` of Go as one unit. */
function duration(value: string): string {
  const seconds = { h: 3600, m: 60, s: 1 }
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(h|m|s)/g)]
  if (parts.map(([part]) => part).join('') !== value) throw new Error(`expected a duration such as 24h, got ${value}`)
  return `${parts.reduce((sum, [, count, unit]) => sum + Number(count) * seconds[unit as keyof typeof seconds], 0)}s`
}

function powerOfTwo(value: string): string {
  const [, digits = '', unit = ''] = /^(\d+)([KMG]?)$/.exec(value) ?? []
  const bytes = Number(digits) * 1024 ** ' KMG'.indexOf(unit || ' ')
  return `${2 ** Math.ceil(Math.log2(Math.max(65_536, bytes)))}B`
}
