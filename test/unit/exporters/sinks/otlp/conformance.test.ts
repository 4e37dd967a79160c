/** The SDK's own pipeline and ours send the same events to the same sink. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import { createJsonEncoder } from '../../../../../exporters/encoding/json-line.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import { SCHEMA_URL, resourceAttributes, scopeOf } from '../../../../../exporters/encoding/otlp/resource.ts'
import { plainRecord, withoutLong } from '../../../../../exporters/encoding/otlp/records.ts'
import { batchOf } from '../../../../../exporters/contract/encoded.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import { goldenEvents } from '../../support/golden-events.ts'
import { NEVER, RESOURCE, encoderOptions, exporterFor } from './support.ts'

test('otlp: our request has the same content as one of sdk-logs and exporter-logs-otlp-http', async () => {
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink, { compression: 'gzip' })
  await exporter.start()
  const events = goldenEvents()
  const batch = batchOf([createOtlpEncoder(encoderOptions).encode(events)])
  assert.deepEqual(await exporter.send(batch, NEVER), { status: 'delivered' })

  const theirs = new OTLPLogExporter({ url: sink.url })
  const processor = new BatchLogRecordProcessor({ exporter: theirs, maxExportBatchSize: events.length })
  const resource = resourceFromAttributes({ ...resourceAttributes(RESOURCE) }, { schemaUrl: SCHEMA_URL })
  const provider = new LoggerProvider({ resource, processors: [processor] })
  const scope = scopeOf(RESOURCE)
  const logger = provider.getLogger(scope.name, scope.version, { schemaUrl: SCHEMA_URL })
  const json = createJsonEncoder({ nodeName: 'node-1' })
  const observed = encoderOptions.observed?.() ?? { sec: 0, nsec: 0 }
  for (const event of events) {
    const record = plainRecord(event, json.encode(withoutLong([event])).bytes, observed, encoderOptions)
    logger.emit({
      timestamp: [record.time.sec, record.time.nsec],
      observedTimestamp: [observed.sec, observed.nsec],
      severityNumber: record.severity.number,
      severityText: record.severity.text,
      ...(record.body === undefined ? {} : { body: record.body }),
      eventName: record.eventName,
      attributes: { ...record.attributes },
    })
  }
  await provider.shutdown()
  const [ours, sdk] = sink.requests
  assert.ok(ours !== undefined && sdk !== undefined)
  assert.equal(sink.requests.length, 2)
  assert.equal(ours.headers['content-type'], 'application/x-protobuf')
  assert.equal(sdk.headers['content-type'], 'application/json')
  assert.deepEqual(ours.logs(), sdk.logs())
})
