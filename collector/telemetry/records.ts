import type { Config } from '../../config/agent/schema.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { Timestamp } from '../../exporters/contract/event.ts'
import { LastRuns } from './last-runs.ts'
import { LossRecords } from './loss-records.ts'
import { Losses } from './losses.ts'
import type { LossOptions } from './losses.ts'
import { NamespaceCounts } from './metrics/namespaces.ts'
import { RunRecords } from './run-records.ts'

/** Records about the agent itself, and counters of the others. */
export interface AgentRecords {
  readonly lossRecords: LossRecords
  readonly runRecords: RunRecords
  /** Begins another run of this agent, which has everything from this time on. */
  readonly beginRun: (from: Timestamp) => Promise<void>
  readonly namespaces: NamespaceCounts | undefined
}

export async function makeRecords(
  config: Pick<Config, 'heartbeat' | 'state_dir' | 'kubernetes'>,
  delivery: Delivery,
  lossy: LossOptions & { readonly ingest: Pick<Ingest, 'from'> },
): Promise<AgentRecords> {
  const { ingest, log } = lossy
  const ofLosses = {
    losses: new Losses(lossy),
    get exporters() {
      return delivery.senders
    },
    get ranges() {
      return delivery.lostRanges
    },
    log,
  }
  const lastRuns = (): Promise<LastRuns> => LastRuns.open(config.state_dir, delivery.epoch, log)
  const runRecords = new RunRecords({
    heartbeatMs: config.heartbeat,
    lastRuns: await lastRuns(),
    exporters: () => delivery.fanout.numbered,
    from: ingest.from,
  })
  return {
    lossRecords: new LossRecords(ofLosses, performance.now()),
    runRecords,
    beginRun: async (from) => {
      await runRecords.noted
      runRecords.begin(await lastRuns(), from)
    },
    namespaces: config.kubernetes?.metrics_by_namespace === true ? new NamespaceCounts() : undefined,
  }
}
