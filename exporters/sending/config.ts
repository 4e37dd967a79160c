import type { EffectiveExporter } from '../../config/agent/effective.ts'

/**
 * What the sending chain takes of an exporter's effective config. `queue` bounds what is held: waiting, being built into a batch and in
 * flight; a batch goes when one of the limits of `batch` is reached; `timeout` is for one call of send.
 */
export type ChainConfig = Pick<EffectiveExporter, 'queue' | 'batch' | 'retry' | 'timeout' | 'spool'>
