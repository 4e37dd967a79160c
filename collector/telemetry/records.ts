import type { Config } from '../../config/agent/schema.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Ingest } from '../ingest/ingest.ts'
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
      return delivery.fanout.senders
    },
    ranges: delivery.lostRanges,
    log,
  }
  const ofRuns = {
    heartbeatMs: config.heartbeat,
    lastRuns: await LastRuns.open(config.state_dir, delivery.epoch, log),
    exporters: () => delivery.fanout.numbered,
    from: ingest.from,
  }
  return {
    lossRecords: new LossRecords(ofLosses, performance.now()),
    runRecords: new RunRecords(ofRuns),
    namespaces: config.kubernetes?.metrics_by_namespace === true ? new NamespaceCounts() : undefined,
  }
}
