import { fromLogRecordExporter } from '../sinks/otlp/sdk-adapter.ts'
import type { ExporterContext } from '../sinks/npm/api.ts'

/** A context for createExporter in tests; `change` replaces parts of it. Warnings are discarded. */
export function testContext(change: Partial<ExporterContext> = {}): ExporterContext {
  const nodeName = 'node-1'
  return {
    name: 'test',
    nodeName,
    epoch: '1795520000',
    warn: () => {},
    fromLogRecordExporter: (exporter) => Promise.resolve(fromLogRecordExporter(exporter, { nodeName })),
    ...change,
  }
}
