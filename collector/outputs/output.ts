/** What the makers of this folder, one a kind of exporter, have in common. */
import type { Compressors, EncoderPool, Encoder, Exporter, Lost } from '../../exporters/index.ts'
import type { Log } from '../telemetry/log.ts'

/** What is the same for all exporters of this agent. */
export interface OutputContext {
  readonly nodeName: string
  /** Names this run of the agent; the sequence of events is gap-free within it. */
  readonly epoch: string
  readonly encoders: EncoderPool
  /** Those of Node when absent. */
  readonly compressors?: Compressors
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** Told of events that an exporter gives up, where it is known which. */
  readonly onLost?: (exporter: string, lost: Lost) => void
  /** Where packages are looked for first, beside and above it. */
  readonly configFile?: string
}

/** An exporter, not yet started, and where its bytes come from. */
export interface Output {
  readonly exporter: Exporter
  readonly encoder: Encoder
  /** It needs to know of events beside their bytes. */
  readonly describe?: boolean
}
