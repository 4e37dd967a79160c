/** Files and folders of a config that the agent could not use at its start. Opens no sink and creates nothing. */
import { effectiveExporter } from '../config/agent/effective.ts'
import type { Environment } from '../config/agent/loading/substitute.ts'
import type { Config } from '../config/agent/schema.ts'
import { placesOf } from './probe-folders.ts'
import { readTlsFiles } from './runtime/tls-files.ts'
import { failure } from './sinks/file/failure.ts'
import { probeFile } from './sinks/file/probe.ts'

/** A key of the config, and the error of its value. */
export interface Unusable {
  readonly path: readonly string[]
  readonly error: Error
}

export async function unusableFiles(
  { exporters, server: { tls } }: Pick<Config, 'exporters' | 'server'>,
  env: Environment,
): Promise<Unusable[]> {
  const found: Unusable[] = []
  const attempt = (path: readonly string[], check: Promise<unknown>): Promise<unknown> =>
    check.catch((error: Error) => found.push({ path, error }))
  if (tls !== undefined) {
    const files = { ...tls, server_name: undefined, insecure_skip_verify: false }
    await attempt(['server', 'tls'], readTlsFiles(files))
  }
  for (const [name, written] of Object.entries(exporters)) {
    const { config } = effectiveExporter(written, env)
    const path = ['exporters', name]
    if ('tls' in config && config.tls !== undefined) await attempt([...path, 'tls'], readTlsFiles(config.tls))
    if (config.type === 'file') await attempt([...path, 'path'], probeFile(config.path))
    for (const { key, folder, check } of placesOf(name, config)) {
      const checked = check().catch((error: unknown) => Promise.reject(failure('use', folder, error, 'try again')))
      await attempt([...path, key, key === 'spool' ? 'dir' : 'path'], checked)
    }
  }
  return found
}
