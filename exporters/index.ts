/** The public door of the room: everything that the collector may use of it. */
import type { Encoder, Encoding, Exporter } from './exporter.ts'
import { createCompactEncoder } from './encoding/compact.ts'
import { createJsonEncoder } from './encoding/json-line.ts'
import { ExportError } from './errors.ts'
import { FileExporter } from './file/exporter.ts'
import type { FileDeps, FileOptions } from './file/exporter.ts'
import { StdoutExporter } from './stdout/exporter.ts'
import type { StdoutDeps, StdoutOptions } from './stdout/exporter.ts'

export type { Batch, Books, DropReason, Encoded, Encoder, Encoding, Exporter, Outcome } from './exporter.ts'
export { createCompactEncoder } from './encoding/compact.ts'
export type { CompactEncoderOptions } from './encoding/compact.ts'
export { createJsonEncoder } from './encoding/json-line.ts'
export type { JsonEncoderOptions } from './encoding/json-line.ts'
export { ExportError } from './errors.ts'
export type { ExportErrorCode } from './errors.ts'
export { FanOut } from './fanout.ts'
export type { Route } from './fanout.ts'
export type { FileOptions, FsyncPolicy } from './file/exporter.ts'
export type { StdoutOptions } from './stdout/exporter.ts'
export { wantsColor } from './stdout/color.ts'
export type { ColorWhen } from './stdout/color.ts'
export { systemClock } from './sending/clock.ts'
export type { Clock, Random } from './sending/clock.ts'
export { DEFAULT_SENDER_OPTIONS } from './sending/options.ts'
export type { SenderOptions, WhenFull } from './sending/options.ts'
export { Sender } from './sending/sender.ts'

/** What each kind of exporter is made from. A new kind adds its row here and in `REGISTRY`. */
export interface ExporterKinds {
  readonly file: FileOptions
  readonly stdout: StdoutOptions
}

export type ExporterType = keyof ExporterKinds

/** The world that exporters touch, for tests to replace; every part has its real default. */
export type ExporterDeps = FileDeps & StdoutDeps

type Registry = { readonly [T in ExporterType]: (options: ExporterKinds[T], deps: ExporterDeps) => Exporter }

const REGISTRY: Registry = {
  file: (options, deps) => new FileExporter(options, deps),
  stdout: (options, deps) => new StdoutExporter(options, deps),
}

/** Makes an exporter, not yet started. */
export function createExporter<T extends ExporterType>(
  type: T,
  options: ExporterKinds[T],
  deps: ExporterDeps = {},
): Exporter {
  return REGISTRY[type](options, deps)
}

export interface EncoderOptions {
  readonly nodeName: string
  /** For `compact` only. */
  readonly color?: boolean
  readonly timestamps?: boolean
}

/** Hands out one encoder object per distinct need, so that exporters that need the same share its bytes. */
export class EncoderPool {
  readonly #nodeName: string
  readonly #encoders = new Map<string, Encoder>()

  constructor(nodeName: string) {
    this.#nodeName = nodeName
  }

  get(encoding: Encoding, look: Omit<EncoderOptions, 'nodeName'> = {}): Encoder {
    const { color = false, timestamps = false } = look
    const key = encoding === 'json' ? encoding : `${encoding} ${color} ${timestamps}`
    const existing = this.#encoders.get(key)
    if (existing !== undefined) return existing
    const made = createEncoder(encoding, { nodeName: this.#nodeName, color, timestamps })
    this.#encoders.set(key, made)
    return made
  }
}

/** Makes the encoder of an encoding. */
export function createEncoder(encoding: Encoding, options: EncoderOptions): Encoder {
  switch (encoding) {
    case 'json':
      return createJsonEncoder(options)
    case 'compact':
      return createCompactEncoder(options)
    case 'otlp':
    case 'otlp_json':
      throw new ExportError('CONTRACT', `encoding "${encoding}" needs an epoch: make it by createOtlpEncoder`)
  }
}
