/** `ktrail check --probe`: whether each sink of a config can be reached. */
import { checkFile, configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { effectiveConfig } from '../../../config/agent/effective.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { EncoderPool, probeExporters } from '../../../exporters/index.ts'
import { createLog } from '../../host/log.ts'
import { createEpoch } from '../../delivery/epoch.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'
import { configFile } from '../config-file.ts'
import { plural } from '../../../config/base/counts.ts'
import { folded } from '../format.ts'
import { linesOf } from './lines.ts'

/** Time limit of each sink; sinks are probed side by side. */
const TIMEOUT_MS = 5000

/**
 * Checks the config, its sinks without sending events, and its folders. Resolves to 0 if all can be used, 1 if one cannot, 78 for a config
 * with mistakes. Rejects with ExportError EXPORTER_REFUSED if an exporter cannot be made from it.
 */
export async function checkProbe(args: Arguments, terminal: Terminal): Promise<number> {
  const [file = await configFile(args, terminal), extra] = args.positionals
  if (extra !== undefined) throw new UsageError(`check --probe takes one config, also got "${extra}"`)
  return probeConfig(file, terminal)
}

export async function probeConfig(file: string, terminal: Terminal): Promise<number> {
  const checked = await checkFile(file, terminal.env)
  await terminal.print(linesOf(checked))
  if (checked.problems.length > 0) return EXIT_CONFIG
  const { config } = configOrThrow(await parseConfigFile(file, terminal.env))
  const nodeName = effectiveConfig(config, terminal.env).config.node_name
  const context = {
    nodeName,
    epoch: createEpoch(),
    encoders: new EncoderPool(nodeName),
    env: terminal.env,
    log: createLog({ level: 'silent', format: 'text' }),
    configFile: file,
  }
  const probed = await probeExporters(config.exporters, context, TIMEOUT_MS)
  const width = Math.max(...probed.map(({ name }) => name.length))
  const lines = probed.map(({ name, state, text }) => oneLine(`${state.padEnd(8)} ${name.padEnd(width)}  ${text}`))
  await terminal.print(folded(`${lines.join('\n')}\n`, terminal.columns))
  const all = plural(Object.keys(config.exporters).length, 'exporter')
  const failed = new Set(probed.filter(({ state }) => state === 'failed').map(({ name }) => name)).size
  terminal.printError(failed === 0 ? `${all} probed, none failed` : `${failed} of ${all} cannot be used`)
  return failed === 0 ? 0 : 1
}
