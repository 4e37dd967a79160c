import { isDeepStrictEqual } from 'node:util'
import type { LoadedConfig } from '../../config/agent/load.ts'
import type { Config } from '../../config/agent/schema.ts'
import type { ChangeRecords } from '../delivery/change-records.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Log } from '../host/log.ts'
import type { MemoryGuard } from '../host/memory.ts'
import type { PolicyFolder } from '../policies/folder.ts'
import { Reloader } from './reloader.ts'

export interface ReloadedParts {
  readonly delivery: Pick<Delivery, 'prepare'>
  readonly folder: Pick<PolicyFolder, 'prepare'>
  readonly memory: Pick<MemoryGuard, 'limits'>
  readonly line: { graceMs: number }
}

/** Removed exporters get at most this long to send their events: the next reload waits for them. */
const MOST_DRAIN_MS = 10_000

/** Applies keys that may change while the agent runs; rejects, and changes nothing, if a policy or an exporter is refused. */
export async function applyConfig(
  parts: ReloadedParts,
  next: Config,
  before: Config,
  stop: AbortSignal,
): Promise<void> {
  const { delivery, folder, memory, line } = parts
  // First, because exporters wait from their preparation on.
  const policies = isDeepStrictEqual(next.policies, before.policies) ? undefined : await folder.prepare(next.policies)
  const exporters = await delivery.prepare(next.exporters, stop).catch(async (error: unknown) => {
    await policies?.rollback()
    throw error
  })
  memory.limits = next.memory
  line.graceMs = next.shutdown.grace
  await Promise.all([policies?.commit(), exporters.commit(Math.min(next.shutdown.grace, MOST_DRAIN_MS))])
}

export interface ReloaderParts extends ReloadedParts {
  readonly loaded: LoadedConfig
  readonly configFile: string
  readonly changes: Pick<ChangeRecords, 'note'>
  /** A change of the config may have replaced the exporters. */
  readonly runRecords: { hurry(): void }
  readonly log: Log
}

export function reloaderOf({ loaded, configFile, changes, runRecords, log, ...parts }: ReloaderParts): Reloader {
  return new Reloader({
    file: configFile,
    env: process.env,
    loaded,
    log,
    changed: (names) => {
      changes.note({ what: 'config_changed', by: `file ${configFile}`, names })
      runRecords.hurry()
    },
    apply: (next, before, stop) => applyConfig(parts, next, before, stop),
  })
}
