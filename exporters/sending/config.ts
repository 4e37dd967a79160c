import type { EffectiveExporter } from '../../config/agent/effective.ts'

/**
 * The part of an exporter's effective config for the sending chain. `queue` limits events that wait, are built into a batch or are
 * in flight. A batch is sent when it reaches a limit of `batch`. `timeout` is for one call of send.
 */
export type ChainConfig = Pick<EffectiveExporter, 'queue' | 'batch' | 'retry' | 'timeout' | 'spool'>
