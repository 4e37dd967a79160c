import { isDeepStrictEqual } from 'node:util'
import type { LoadedConfig } from '../../config/agent/load.ts'
import type { ChangeRecords } from '../delivery/change-records.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Log } from '../host/log.ts'
import type { MemoryGuard } from '../host/memory.ts'
import type { PolicyFolder } from '../policies/folder.ts'
import { Reloader } from './reloader.ts'

export interface ReloaderParts {
  readonly loaded: LoadedConfig
  readonly configFile: string
  readonly delivery: Pick<Delivery, 'prepare'>
  readonly folder: Pick<PolicyFolder, 'prepare'>
  readonly memory: Pick<MemoryGuard, 'limits'>
  readonly line: { graceMs: number }
  readonly changes: Pick<ChangeRecords, 'note'>
  /** A change of the config may have replaced the exporters. */
  readonly runRecords: { hurry(): void }
  readonly log: Log
}

/** Removed exporters get at most this long to send their events: the next reload waits for them. */
const MOST_DRAIN_MS = 10_000

/** Applies keys that may change while the agent runs; changes nothing if a policy or an exporter is refused. */
export function reloaderOf(parts: ReloaderParts): Reloader {
  const { loaded, configFile, delivery, folder, memory, line, changes, runRecords, log } = parts
  return new Reloader({
    file: configFile,
    env: process.env,
    loaded,
    log,
    changed: (names) => {
      changes.note({ what: 'config_changed', by: `file ${configFile}`, names })
      runRecords.hurry()
    },
    apply: async ({ policies: paths, exporters, memory: limits, shutdown }, before, stop) => {
      // First, because exporters wait from their preparation on.
      const policies = isDeepStrictEqual(paths, before.policies) ? undefined : await folder.prepare(paths)
      const prepared = await delivery.prepare(exporters, stop).catch(async (error: unknown) => {
        await policies?.rollback()
        throw error
      })
      memory.limits = limits
      line.graceMs = shutdown.grace
      await Promise.all([policies?.commit(), prepared.commit(Math.min(shutdown.grace, MOST_DRAIN_MS))])
    },
  })
}
