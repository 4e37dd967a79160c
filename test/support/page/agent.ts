/** The status page without a kernel: the agent's own pages, server and exporters, and made events. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startDelivery } from '../../../collector/delivery/delivery.ts'
import { Reading } from '../../../collector/ingest/source.ts'
import type { Policies } from '../../../collector/policies/registry.ts'
import { accessOf } from '../../../collector/telemetry/access.ts'
import { serve } from '../../../collector/telemetry/http.ts'
import type { Loss } from '../../../collector/telemetry/losses.ts'
import { createPageToken } from '../../../collector/telemetry/live/page-token.ts'
import { createPages } from '../../../collector/telemetry/pages.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import type { Event } from '../../../exporters/contract/event.ts'
import { gzip, zstd } from '../../../native/index.ts'
import { makeSources } from '../../unit/collector/support/sources.ts'

export interface PageAgentOptions {
  /** The YAML of `exporters:`, in one line; `FOLDER` is replaced. */
  readonly exporters: string
  readonly policies: Pick<Policies, 'list'>
  /** `server.token`. */
  readonly token?: string
  readonly losses?: readonly Loss[]
}

export interface PageAgent extends AsyncDisposable {
  readonly url: string
  /** For live events. */
  readonly token: string
  /** Connected live readers. */
  readonly readers: number
  ready: boolean
  publish(events: readonly Event[]): Promise<void>
  /** Ends the HTTP server, as when the agent is killed. */
  stop(): Promise<void>
}

export async function startPageAgent(options: PageAgentOptions): Promise<PageAgent> {
  await using undo = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'ktrail-page-'))
  undo.defer(() => rm(folder, { recursive: true }))
  const yaml = `policies: [${folder}]\nexporters: ${options.exporters.replaceAll('FOLDER', folder)}\n`
  const loaded = loadConfig(yaml, 'agent.yaml', {}, () => '')
  if (!('config' in loaded)) throw new Error(JSON.stringify(loaded))
  const log = pino({ level: 'silent' })
  const nodeName = 'web-1'
  const delivery = undo.use(
    await startDelivery(
      loaded.config.exporters,
      { nodeName, compressors: { gzip, zstd }, env: {}, log, configFile: 'agent.yaml' },
      new AbortController().signal,
    ),
  )
  const own = undo.use(await createPageToken(join(folder, 'page-token')))
  const address = { host: '127.0.0.1', port: 0 }
  const counts = new Map<string, number>()
  let readers = 0
  const state = { ready: true }
  const pages = createPages({
    ...makeSources({
      events: () => [...counts].map(([type, count]) => ({ type, policy: '', count })),
      policies: options.policies,
      losses: () => [...(options.losses ?? [])],
      senders: () => delivery.fanout.senders,
      filtered: () => delivery.fanout.filtered(),
    }),
    epoch: 'e1',
    nodeName,
    access: accessOf({ address, token: options.token, own }),
    ready: () => state.ready,
    reading: new Reading(),
    senders: () => delivery.fanout.senders,
    delivery: {
      subscribe: (filter, bound) => {
        const made = delivery.subscribe(filter, bound)
        readers++
        const dispose = made[Symbol.asyncDispose].bind(made)
        let open = true
        made[Symbol.asyncDispose] = async () => {
          if (open) readers--
          open = false
          await dispose()
        }
        return made
      },
    },
  })
  const server = undo.use(await serve(address, pages, (message) => log.warn(message)))
  const cleanup = undo.move()
  return {
    url: `http://${server.address}/`,
    token: options.token ?? own.token,
    get readers() {
      return readers
    },
    get ready() {
      return state.ready
    },
    set ready(ready) {
      state.ready = ready
    },
    async publish(events) {
      for (const { type } of events) counts.set(type, (counts.get(type) ?? 0) + 1)
      await delivery.publish(events)
    },
    stop: async () => server[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}
