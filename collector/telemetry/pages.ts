/** The agent's HTTP pages. */
import { enabledOf } from '../policies/registry.ts'
import { guarded, shared } from './access.ts'
import type { Access } from './access.ts'
import { livez, readyz } from './health.ts'
import type { ReadState, Watched } from './health.ts'
import type { Answer, Pages } from './http.ts'
import { createLiveEvents } from './live/live-events.ts'
import type { LiveSources } from './live/live-events.ts'
import type { Reported } from './metrics/exporters.ts'
import type { MetricsPage } from './metrics/page.ts'
import { readAssets } from './page-assets.ts'
import { statusOf } from './status.ts'
import type { StatusSources } from './status.ts'

export interface PageSources extends StatusSources, LiveSources {
  /** Clients without access to the numbers only learn whether the agent is alive and ready. */
  readonly access: Access
  readonly ready: () => boolean
  readonly reading: ReadState
  readonly senders: () => ReadonlyArray<Reported & Watched>
}

export function createPages(sources: PageSources): Pages {
  let loading: Promise<MetricsPage> | undefined
  // Loaded at the first request: prom-client takes 6 MB and would be 20 % of the code that the start loads.
  const metrics = (): Promise<MetricsPage> =>
    (loading ??= import('./metrics/metrics.ts').then(({ createMetrics }) => createMetrics(sources)))
  const { ready, policies, senders, reading, tampering, kubernetes, listening, access } = sources
  const readiness = (): Answer =>
    readyz({
      ready: ready(),
      policies: enabledOf(policies),
      senders: senders(),
      tampering: tampering(),
      retried: [...kubernetes().values(), ...listening()].flatMap(({ problem }) => problem ?? []),
    })
  return {
    ...readAssets(access),
    '/livez': () => livez(reading, senders()),
    '/readyz': (request) => {
      const answer = readiness()
      const refused = access.numbers(request)
      if (refused === undefined) return answer
      const body = `${answer.status === 200 ? 'ready' : 'not ready'}; no details: ${refused.body}`
      return { status: answer.status, body }
    },
    '/metrics': guarded(
      shared(async () => {
        const page = await metrics()
        return { status: 200, type: page.contentType, body: await page.text() }
      }),
      access.numbers,
    ),
    '/status': guarded(
      shared(() => {
        const body = `${JSON.stringify(statusOf(sources, readiness()))}\n`
        return { status: 200, type: 'application/json', headers: { 'Cache-Control': 'no-store' }, body }
      }),
      access.numbers,
    ),
    '/events': guarded(createLiveEvents(sources), access.events),
  }
}
