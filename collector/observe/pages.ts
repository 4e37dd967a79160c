/** The agent's pages: which there are, and what they say. */
import { readyz } from './health.ts'
import type { Reading, Watched } from './health.ts'
import type { Pages } from './http.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { Told } from './metrics/exporters.ts'
import { statusOf } from './status.ts'
import type { StatusSources } from './status.ts'

export interface PageSources extends StatusSources {
  readonly ready: () => boolean
  readonly reading: Pick<Reading, 'livez'>
  readonly senders: () => ReadonlyArray<Told & Watched>
}

export function createPages(sources: PageSources): Pages {
  const metrics = createMetrics(sources)
  const { ready, policies, senders, reading } = sources
  return {
    '/livez': () => reading.livez(senders()),
    '/readyz': () => readyz({ ready: ready(), policies: policies(), senders: senders() }),
    '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
    '/status': () => ({ status: 200, type: 'application/json', body: `${JSON.stringify(statusOf(sources))}\n` }),
  }
}
