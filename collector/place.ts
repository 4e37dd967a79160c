/** The place that only one agent of a host has: its lock, and with it the spools, files and addresses of exporters. */
import type { Config } from '../config/agent/schema.ts'
import { gzip, zstd } from '../native/index.ts'
import { checkDelivery, startDelivery } from './delivery/delivery.ts'
import type { Delivery, DeliveryOptions } from './delivery/delivery.ts'
import type { Lock } from './host/sockets/lock.ts'
import type { KernelSource } from './kernel/open.ts'

export interface Place {
  readonly lock: Lock
  readonly delivery: Delivery
}

export interface PlaceOptions extends Pick<DeliveryOptions, 'nodeName' | 'hostId' | 'log' | 'configFile'> {
  readonly source: Pick<KernelSource, 'lock'>
  readonly takesOver?: boolean
  readonly temporary?: boolean
  readonly stop: AbortSignal
}

/**
 * Takes the lock and starts the exporters; both go to `undo`. If the agent takes over, the earlier one has closed its exporters by then, and ends
 * when these are open.
 */
export async function takePlace(
  undo: AsyncDisposableStack,
  exporters: Config['exporters'],
  { source, takesOver = false, temporary = false, stop, ...context }: PlaceOptions,
): Promise<Place> {
  const options = { ...context, compressors: { gzip, zstd } }
  if (takesOver) await checkDelivery(exporters, options)
  const lock = undo.use(await source.lock(takesOver, temporary))
  const delivery = undo.use(await startDelivery(exporters, options, AbortSignal.any([stop, lock.lost])))
  await lock.confirm()
  return { lock, delivery }
}
