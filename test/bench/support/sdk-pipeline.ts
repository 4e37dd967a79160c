/** OpenTelemetry's own pipeline, for comparison with ours: Logger, BatchLogRecordProcessor and the OTLP exporter. */
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import type { Event } from '../../../exporters/contract/event.ts'
import type { Encoder } from '../../../exporters/contract/exporter.ts'
import type { MappingOptions } from '../../../exporters/encoding/otlp/mapping.ts'
import { plainRecord } from '../../../exporters/encoding/otlp/records.ts'
import { NODE_NAME } from './replay.ts'

export interface SdkPipelineOptions extends MappingOptions {
  readonly endpoint: string
  readonly json: Encoder
}

/**
 * Sends whole cycles, repeatedly, until `count` events are sent; returns the number. Set up as in the documentation of the SDK,
 * with a queue that holds a cycle: dropped events would cost less.
 */
export async function sdkPipeline(
  cycles: ReadonlyArray<readonly Event[]>,
  count: number,
  { endpoint, json, ...mapping }: SdkPipelineOptions,
): Promise<number> {
  const exporter = new OTLPLogExporter({ url: endpoint })
  const longest = Math.max(...cycles.map(({ length }) => length))
  const processor = new BatchLogRecordProcessor({ exporter, maxQueueSize: 4 * longest })
  const resource = resourceFromAttributes({ 'service.name': 'ktrail', 'service.instance.id': NODE_NAME })
  const provider = new LoggerProvider({ resource, processors: [processor] })
  const logger = provider.getLogger('ktrail.events', '0.1.0')
  let given = 0
  for (let i = 0; given < count; i++) {
    const cycle = cycles[i % cycles.length] ?? []
    given += cycle.length
    const lines = json.encode(cycle)
    for (const [at, event] of cycle.entries()) {
      const bytes = lines.bytes.subarray(at === 0 ? 0 : lines.ends[at - 1], lines.ends[at])
      const { time, severity, body, eventName, attributes } = plainRecord(event, bytes, event.time, mapping)
      logger.emit({
        timestamp: [time.sec, time.nsec],
        observedTimestamp: [time.sec, time.nsec],
        severityNumber: severity.number,
        severityText: severity.text,
        ...(body === undefined ? {} : { body }),
        eventName,
        attributes: { ...attributes },
      })
    }
    await provider.forceFlush()
  }
  await provider.shutdown()
  return given
}
