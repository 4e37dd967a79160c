/** Parts of the agent that the API needs. */
import type { Config } from '../../config/agent/schema.ts'
import type { Delivery } from '../delivery/delivery.ts'
import type { Announcements } from '../identity/announced.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { KernelFacts } from '../plan/facts.ts'
import type { Policies } from '../policies/registry.ts'
import type { Log } from '../host/log.ts'

export interface ApiOptions {
  readonly delivery: Pick<Delivery, 'subscribe' | 'watch' | 'tap' | 'tapCount' | 'fanout'>
  readonly ingest: Pick<Ingest, 'now' | 'processes'>
  readonly policies: Pick<Policies, 'list' | 'add' | 'remove' | 'enable' | 'disable'>
  readonly announced: Pick<Announcements, 'add'>
  readonly nodeName: string
  readonly config: Config
  readonly facts: KernelFacts
  readonly log: Log
  readonly ready: () => boolean
}

/** Changes the number of open calls of a client. */
export type CountCalls = (peer: string, change: 1 | -1) => void
