import type { FileExporterConfig } from '../../config/agent/schema.ts'
import { createExporter } from '../../exporters/index.ts'
import type { Output, OutputContext } from './output.ts'

/** Makes a file exporter. */
export async function fileOutput(
  name: string,
  config: FileExporterConfig,
  { encoders, log }: OutputContext,
): Promise<Output> {
  const { rotate } = config
  const exporter = await createExporter(
    'file',
    {
      path: config.path,
      maxSizeBytes: rotate.max_size,
      maxFiles: rotate.max_files,
      compress: rotate.compress,
      ...(rotate.interval === undefined ? {} : { rotateIntervalMs: rotate.interval }),
      ...(rotate.max_total_size === undefined ? {} : { maxTotalBytes: rotate.max_total_size }),
      ...(rotate.max_age === undefined ? {} : { maxAgeMs: rotate.max_age }),
      mode: Number.parseInt(config.mode, 8),
      fsync: typeof config.fsync === 'number' ? { intervalMs: config.fsync } : config.fsync,
    },
    { warn: (problem) => log.warn({ exporter: name }, problem.message) },
  )
  return { exporter, encoder: encoders.json() }
}
