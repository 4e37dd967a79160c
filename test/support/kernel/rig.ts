/** The real agent, whole, on a kernel that plays records. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { pino } from 'pino'
import { startAgent } from '../../../collector/agent.ts'
import type { RunningAgent } from '../../../collector/running.ts'
import { parseConfigFile } from '../../../config/agent/check.ts'
import { SYMBOLS, policyOf } from './functions.ts'
import { ReplayKernel } from './replay.ts'
import type { Folder } from '../../unit/exporters/support/folder.ts'
import { kernel as factsOf } from '../../unit/collector/support/facts.ts'
import { write } from '../../unit/collector/support/procfs.ts'

export interface Rig extends AsyncDisposable {
  readonly kernel: ReplayKernel
  readonly agent: RunningAgent
  readonly log: ReadonlyArray<Readonly<Record<string, unknown>>>
  /** Lines of the file exporter. */
  lines(): Array<Readonly<Record<string, unknown>>>
  /** Writes a policy file. */
  policy(file: string, text: string): void
}

export interface RigOptions {
  readonly kernel?: ReplayKernel
  readonly takesOver?: boolean
  readonly temporary?: boolean
  /** The API listens at its socket in the folder. */
  readonly api?: boolean
  /** Keys of the config besides those of each rig. */
  readonly keys?: string
  /** Exporters besides the file, as a mapping of YAML without its braces. */
  readonly exporters?: string
}

/** A kernel without records. Agents with the same `lockPath` are on the same host. */
export function newKernel(lockPath?: string): ReplayKernel {
  return new ReplayKernel({ facts: factsOf(6, 12), symbols: SYMBOLS, ...(lockPath !== undefined && { lockPath }) })
}

/** Starts an agent whose files are in `folder`. */
export async function startRig(
  folder: Folder,
  {
    kernel = newKernel(),
    takesOver = false,
    temporary = false,
    api = false,
    keys = '',
    exporters = '',
  }: RigOptions = {},
): Promise<Rig> {
  const at = (name: string): string => folder.at(name)
  for (const name of ['policies', 'proc', 'proc/1']) mkdirSync(at(name), { recursive: true })
  const policy = (file: string, text: string): void => writeFileSync(at(`policies/${file}`), text)
  policy('p.yaml', policyOf('file-monitoring'))
  if (!existsSync(at('proc/2'))) write(at('proc'), { pid: 2, parent: 1 })
  const configFile = at('ktrail.yaml')
  writeFileSync(
    configFile,
    `policies: [${at('policies')}]
procfs: ${at('proc')}
state_dir: ${at('state')}
server: { http: "unix://${at('http.sock')}", grpc: ${api ? `"unix://${at('grpc.sock')}"` : 'disabled'} }
exporters: { archive: { type: file, path: ${at('events.jsonl')}, envelope: true, batch: { max_wait: 10ms } }, ${exporters} }
${keys}
`,
  )
  const loaded = await parseConfigFile(configFile, {})
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const log: Array<Readonly<Record<string, unknown>>> = []
  const logger = pino({ level: 'info' }, { write: (line) => void log.push(JSON.parse(line)) })
  const { source } = kernel
  const stop = new AbortController().signal
  const agent = await startAgent({ loaded, configFile, log: logger, stop, source, takesOver, temporary })
  return {
    kernel,
    agent,
    log,
    policy,
    lines: () =>
      readFileSync(at('events.jsonl'), 'utf8')
        .split('\n')
        // Behind the last end is nothing, or a line that is being written.
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    [Symbol.asyncDispose]: async () => void (await agent.stop()),
  }
}
