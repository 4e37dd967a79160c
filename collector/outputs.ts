/** The configured exporters as senders behind one fan-out. */
import type { Config, ExporterConfig } from '../config/schema.ts'
import { EncoderPool, FanOut, Sender, createExporter, wantsColor } from '../exporters/index.ts'
import type { Exporter, Route, SenderOptions } from '../exporters/index.ts'
import type { Log } from './log.ts'

function senderOptions({ queue, batch, retry, timeout }: ExporterConfig): SenderOptions {
  return {
    queue: { maxBytes: queue.max_bytes, maxEvents: queue.max_events, whenFull: queue.when_full },
    batch: { maxEvents: batch.max_events, maxBytes: batch.max_bytes, maxWaitMs: batch.max_wait },
    retry: {
      initialMs: retry.initial,
      maxMs: retry.max,
      ...(retry.max_age === undefined ? {} : { maxAgeMs: retry.max_age }),
    },
    timeoutMs: timeout,
  }
}

function exporterOf(name: string, config: ExporterConfig, log: Log): Exporter {
  switch (config.type) {
    case 'file':
      return createExporter(
        'file',
        {
          path: config.path,
          maxSizeBytes: config.rotate.max_size,
          maxFiles: config.rotate.max_files,
          mode: Number.parseInt(config.mode, 8),
          fsync: typeof config.fsync === 'number' ? { intervalMs: config.fsync } : config.fsync,
        },
        { warn: (problem) => log.warn({ exporter: name }, problem.message) },
      )
    case 'stdout':
      return createExporter('stdout', { encoding: config.format })
  }
}

/** Made, not yet started. */
export function createFanOut(config: Config, nodeName: string, log: Log): FanOut {
  const encoders = new EncoderPool(nodeName)
  const routes = Object.entries(config.exporters).map(([name, exporterConfig]): Route => {
    const exporter = exporterOf(name, exporterConfig, log)
    const look =
      exporterConfig.type === 'stdout'
        ? {
            color: wantsColor(exporterConfig.color, process.stdout.isTTY === true, process.env),
            timestamps: exporterConfig.timestamps,
          }
        : {}
    return {
      encoder: encoders.get(exporter.encoding, look),
      sender: new Sender(name, exporter, senderOptions(exporterConfig)),
    }
  })
  return new FanOut(routes)
}
