/** The agent's HTTP pages. */
import { enabledOf } from '../policies/registry.ts'
import { guarded, permits, shared } from './access.ts'
import { livez, readyz } from './health.ts'
import type { ReadState, Watched } from './health.ts'
import type { Pages } from './http.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { Reported } from './metrics/exporters.ts'
import { statusOf } from './status.ts'
import type { StatusSources } from './status.ts'

export interface PageSources extends StatusSources {
  /** Clients that do not send it only learn whether the agent is alive and ready. Without a token every client sees everything. */
  readonly token?: string | undefined
  readonly ready: () => boolean
  readonly reading: ReadState
  readonly senders: () => ReadonlyArray<Reported & Watched>
}

export function createPages(sources: PageSources): Pages {
  const metrics = createMetrics(sources)
  const { ready, policies, senders, reading, tampering } = sources
  const permitted = permits(sources.token)
  return {
    '/livez': () => livez(reading, senders()),
    '/readyz': (authorization) => {
      const answer = readyz({
        ready: ready(),
        policies: enabledOf(policies),
        senders: senders(),
        tampering: tampering(),
      })
      if (permitted(authorization)) return answer
      const body = `${answer.status === 200 ? 'ready' : 'not ready'}; details need the token of server.token\n`
      return { status: answer.status, body }
    },
    '/metrics': guarded(
      shared(async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() })),
      permitted,
    ),
    '/status': guarded(
      shared(() => ({ status: 200, type: 'application/json', body: `${JSON.stringify(statusOf(sources))}\n` })),
      permitted,
    ),
  }
}
