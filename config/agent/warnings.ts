/** Warnings about a valid config that lets other users read or write too much, or has another effect than it seems to have. */
import { stat } from 'node:fs/promises'
import { formatAddress, isLocal } from '../base/addresses.ts'
import type { Problem } from '../yaml/problems.ts'
import { keyThatNeeds } from './pods.ts'
import { problemAt } from './load.ts'
import type { LoadedConfig } from './load.ts'
import { writablePaths } from './writable.ts'

const READ_BY_OTHERS = 0o004

/** All warnings. Never throws. */
export async function configWarnings(loaded: LoadedConfig, file: string): Promise<Problem[]> {
  return [
    ...loaded.warnings,
    ...openServer(loaded, file),
    ...endpoints(loaded, file),
    ...podFilters(loaded, file),
    ...(await openSecrets(loaded, file)),
    ...(await writablePaths(loaded, file)),
  ]
}

/** Other hosts may read the agent's pages without a token. */
function openServer(loaded: LoadedConfig, file: string): Problem[] {
  const { http, token, metrics_token } = loaded.config.server
  if (isLocal(http) || (token ?? metrics_token) !== undefined) return []
  const message =
    `anyone who can reach ${formatAddress(http)} can read the addresses of exporters, their errors and the names of policies: ` +
    'set server.token, or use 127.0.0.1 or a Unix socket'
  return [problemAt(loaded, file, ['server', 'http'], message)]
}

/** Addresses at which the sink most likely does not expect OTLP over HTTP. */
function endpoints(loaded: LoadedConfig, file: string): Problem[] {
  return Object.entries(loaded.config.exporters).flatMap(([name, exporter]) => {
    if (exporter.type !== 'otlp') return []
    return (['endpoint', 'logs_endpoint'] as const).flatMap((key) => {
      const text = exporter[key] ?? ''
      const why = URL.canParse(text) ? doubtful(new URL(text), text, key, exporter.loki !== false) : undefined
      return why === undefined ? [] : [problemAt(loaded, file, ['exporters', name, key], why)]
    })
  })
}

function doubtful({ origin, pathname, port }: URL, text: string, key: string, isLoki: boolean): string | undefined {
  // Registered for OTLP, and by custom that over gRPC.
  if (port === '4317')
    return 'sinks usually expect gRPC on port 4317; ktrail sends OTLP over HTTP, usually to port 4318'
  if (/^http:\/\/[^/]*:443(?:\/|$)/i.test(text)) return 'sinks usually expect TLS on port 443; write https://'
  if (key === 'logs_endpoint') return undefined
  // Loki takes OTLP below /otlp, and answers 404 elsewhere.
  const isBelow = /\/otlp\/?$/.test(pathname)
  if ((isLoki || port === '3100') && !isBelow) return `Loki takes OTLP only below /otlp; write ${origin}/otlp`
  if (port === '3100' && !isLoki)
    return 'without loki: true, Loki may refuse records for their size or order; add loki: true to the exporter'
  return undefined
}

/** One warning for an exporter, at the first key of its filter that needs pods or containers. */
function podFilters(loaded: LoadedConfig, file: string): Problem[] {
  const { kubernetes, containers, exporters } = loaded.config
  if (kubernetes?.pods === true) return []
  return Object.entries(exporters).flatMap(([name, { filter }]) => {
    if (filter === undefined) return []
    const pod = keyThatNeeds('pods', filter)
    const container = containers === undefined ? keyThatNeeds('containers', filter) : undefined
    const at = pod ?? container
    if (at === undefined) return []
    const message =
      pod === undefined
        ? 'no event matches, because names, images and labels of containers require kubernetes.pods or containers; set kubernetes: {pods: true}, or containers: {} without Kubernetes'
        : 'without kubernetes.pods, every process counts as outside of pods, with namespace ""; set kubernetes: {pods: true}'
    return [problemAt(loaded, file, ['exporters', name, 'filter', ...at], message)]
  })
}

/** Files with secrets that every user of the host can read; skips files that cannot be inspected. */
async function openSecrets({ secretFiles }: LoadedConfig, file: string): Promise<Problem[]> {
  const warnings: Problem[] = []
  for (const [path, { key, at }] of secretFiles) {
    const mode = (await stat(path).catch(() => undefined))?.mode ?? 0
    if ((mode & READ_BY_OTHERS) === 0) continue
    const octal = (mode & 0o7777).toString(8).padStart(4, '0')
    const name = JSON.stringify(path)
    const message = `${key}: ${name} holds a secret and every user of this host can read it (mode ${octal}): chmod o-rwx ${name}`
    warnings.push({ file, ...at, message })
  }
  return warnings
}
