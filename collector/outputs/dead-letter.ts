import type { ExporterConfig } from '../../config/agent/schema.ts'
import { DeadLetterFile } from '../../exporters/index.ts'
import type { OutputContext } from './output.ts'

/** Where an exporter keeps what its sink refuses for good, when that is configured; not yet started. */
export function deadLettersOf(
  name: string,
  { dead_letter: config }: ExporterConfig,
  { epoch, log }: Pick<OutputContext, 'epoch' | 'log'>,
): DeadLetterFile | undefined {
  if (config === undefined) return undefined
  const { path, max_size: maxSizeBytes, max_files: maxFiles } = config
  return new DeadLetterFile(
    { exporter: name, epoch, path, maxSizeBytes, maxFiles },
    { warn: (problem) => log.warn({ exporter: name }, problem.message) },
  )
}
