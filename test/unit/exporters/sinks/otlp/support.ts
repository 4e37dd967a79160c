/** Exporters, encoders and batches for the tests of this folder. */
import assert from 'node:assert/strict'
import { DEFAULT_RECORDS } from '../../../../../config/agent/exporters/otlp-records.ts'
import { lokiLimits } from '../../../../../config/agent/exporters/otlp.ts'
import type { LokiLimits } from '../../../../../config/agent/exporters/otlp.ts'
import { createJsonEncoder } from '../../../../../exporters/encoding/json-line.ts'
import type { Batch, Encoded, Outcome } from '../../../../../exporters/contract/exporter.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import type { OtlpEncoderOptions } from '../../../../../exporters/encoding/otlp/encode.ts'
import { createEnvelope } from '../../../../../exporters/encoding/otlp/envelope.ts'
import type { Resource } from '../../../../../exporters/encoding/otlp/resource.ts'
import { OtlpExporter } from '../../../../../exporters/sinks/otlp/exporter.ts'
import type { OtlpConfig, OtlpDeps } from '../../../../../exporters/sinks/otlp/exporter.ts'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { seqOf } from '../../../../support/otlp/decode.ts'
import type { FakeSink, Received } from '../../../../support/otlp/server.ts'
import { makeKprobe } from '../../support/events.ts'
import type { HookEvent } from '../../../../../exporters/contract/event.ts'
import { CONTEXT, exporterConfig } from '../../../../support/exporter-config.ts'

export const RESOURCE = { serviceName: 'ktrail', serviceVersion: '0.1.0', nodeName: 'node-1' }
export const NEVER: AbortSignal = new AbortController().signal

export const encoderOptions: OtlpEncoderOptions = {
  ...DEFAULT_RECORDS,
  epoch: '1795520000',
  body: 'json',
  json: createJsonEncoder({ nodeName: 'node-1' }),
  observed: () => ({ sec: 1_795_528_989, nsec: 0 }),
}
const encoder = createOtlpEncoder(encoderOptions)

/** `count` records from `firstSeq` on. */
export function encoded(firstSeq: number, count: number, change: Partial<HookEvent> = {}): Encoded {
  return encoder.encode(Array.from({ length: count }, (_, i) => makeKprobe({ ...change, seq: firstSeq + i })))
}

/** A batch of several parts. */
export function batchFrom(firstSeq: number, ...counts: number[]): Batch {
  let seq = firstSeq
  const parts = counts.map((count) => {
    const part = encoded(seq, count)
    seq += count
    return part
  })
  return batchOf(parts)
}

/** A whole request of `otlp` or `otlp_json`, as the exporter builds it. */
export function requestOf({ bytes, encoding }: Encoded, resource: Resource): Buffer {
  const { head, tail, separator } = createEnvelope(encoding === 'otlp_json' ? encoding : 'otlp', resource)
  const records = bytes.subarray(0, bytes.length - separator)
  return Buffer.concat([head(records.length), records, tail])
}

/** Loki's own limits. */
export const LOKI: LokiLimits = lokiLimits(true) ?? assert.fail()

export function otlpConfig(url: string, change: Partial<OtlpConfig> = {}): OtlpConfig {
  const keys = { logs_endpoint: url, compression: 'none', request_timeout: '2s', concurrency: { max: 1 } }
  return { ...exporterConfig('otlp', keys), ...change }
}

export function exporterFor(sink: FakeSink, change: Partial<OtlpConfig> = {}, deps: OtlpDeps = {}): OtlpExporter {
  return new OtlpExporter(otlpConfig(sink.url, change), { ...CONTEXT, nodeName: 'node-1' }, deps)
}

export const seqsOf = (request: Received): number[] => request.logs().records.map(seqOf)

/** An outcome without its error, and with the error's text. */
export function plain(outcome: Outcome): object {
  const { error, ...rest } = { error: undefined, ...outcome }
  const refusals = 'refusals' in rest ? rest.refusals : undefined
  return {
    ...rest,
    ...(refusals === undefined
      ? {}
      : { refusals: refusals.map((each) => ({ ...each, message: shown(each.message) })) }),
    ...(error === undefined ? {} : { message: shown(error.message) }),
  }
}

const shown = (text: string): string => text.replace(/127\.0\.0\.1:\d+/, 'SINK')

/** The message for a reply that starts with this. */
export const reply = (text: string): string => `http://SINK/v1/logs answered ${text}`
