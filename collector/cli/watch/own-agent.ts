/** An agent in the process of one command: without policies, exporters and a known page. Others may use it over its socket, as any agent. */
import { isatty } from 'node:tty'
import { configOrThrow } from '../../../config/agent/check.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { startAgent } from '../../agent.ts'
import { createLog } from '../../host/log.ts'

/** A config needs an exporter; this agent has none. */
const CONFIG = JSON.stringify({
  policies: [],
  server: { http: '127.0.0.1:0' },
  exporters: { none: { type: 'stdout' } },
})

export interface OwnAgent {
  /** Resolves when it has left its place to an agent that stays. */
  readonly left: Promise<void>
  /** Stops after a while. The command goes on without it, and signals end the command. */
  replaced(afterMs: number): void
}

/** Runs `use` while an agent runs; the `signals` stop the agent. Rejects if it cannot start, or fails. */
export async function withOwnAgent(
  use: (own: OwnAgent) => Promise<void>,
  signals: Iterable<NodeJS.Signals>,
): Promise<void> {
  const loaded = configOrThrow(loadConfig(CONFIG, 'config of ktrail watch', {}))
  const agent = await startAgent({
    loaded: { ...loaded, config: { ...loaded.config, exporters: {} } },
    configFile: '',
    log: createLog({ level: 'error', format: 'text' }),
    stop: new AbortController().signal,
    temporary: true,
  })
  const stop = (signal: NodeJS.Signals): void => {
    // The terminal shows ^C, and the shell its prompt behind it.
    if (signal === 'SIGINT' && isatty(2)) process.stderr.write('\n')
    void agent.stop()
  }
  for (const signal of signals) process.once(signal, stop)
  const own: OwnAgent = {
    left: agent.left(),
    replaced: (afterMs) => {
      for (const signal of signals) process.off(signal, stop)
      setTimeout(() => void agent.stop(), afterMs)
    },
  }
  try {
    await Promise.race([use(own), agent.failed])
  } finally {
    await agent.stop()
  }
}
