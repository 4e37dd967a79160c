import { isatty } from 'node:tty'
import type { StdoutExporterConfig } from '../../config/agent/schema.ts'
import { createExporter, wantsColor } from '../../exporters/index.ts'
import type { Output, OutputContext } from './output.ts'

/** Makes an exporter to the standard output. */
export async function stdoutOutput(
  { format, color, timestamps }: StdoutExporterConfig,
  { encoders, env }: OutputContext,
): Promise<Output> {
  const exporter = await createExporter('stdout', { encoding: format })
  if (format === 'json') return { exporter, encoder: encoders.json() }
  const look = { color: wantsColor(color, isatty(1), env), timestamps }
  return { exporter, encoder: encoders.compact(look) }
}
