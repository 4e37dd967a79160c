import type { Config } from '../../config/agent/schema.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Ingest } from '../ingest/ingest.ts'
import { LossRecords } from './loss-records.ts'
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
  return {
    lossRecords: LossRecords.of({ ...lossy, delivery }),
    runRecords: await RunRecords.open(
      config,
      delivery.epoch,
      () => delivery.fanout.numbered,
      lossy.log,
      lossy.ingest.from,
    ),
    namespaces: config.kubernetes?.metrics_by_namespace === true ? new NamespaceCounts() : undefined,
  }
}
