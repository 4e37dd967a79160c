import path from 'node:path'
import { spoolMaxAgeMs } from '../../config/agent/effective.ts'
import type { ExporterConfig } from '../../config/agent/schema.ts'
import type { SpoolOptions } from '../../exporters/index.ts'

/** Files in a spool that is full: a start opens each of them. */
const MAX_SEGMENTS = 4096

/** Where the exporter of this name keeps its spool; undefined when it has none. */
export function spoolFolderOf(name: string, { spool }: Pick<ExporterConfig, 'spool'>): string | undefined {
  return spool === undefined ? undefined : path.join(spool.dir, name)
}

/** The spool of an exporter, as configured; undefined when it has none. `epoch`: in which the agent's numbers count. */
export function spoolOptionsOf(name: string, config: ExporterConfig, epoch: string): SpoolOptions | undefined {
  const dir = spoolFolderOf(name, config)
  if (config.spool === undefined || dir === undefined) return undefined
  const { fsync, max_size, min_free, segment_size } = config.spool
  const maxAgeMs = spoolMaxAgeMs(config)
  return {
    dir,
    fsync: typeof fsync === 'number' ? { intervalMs: fsync } : fsync,
    maxBytes: max_size,
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    minFreeBytes: min_free,
    segmentBytes: Math.max(segment_size, Math.ceil(max_size / MAX_SEGMENTS)),
    epoch,
  }
}
