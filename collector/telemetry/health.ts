/** The answers of /livez and /readyz. */
import { plural } from '../../config/base/counts.ts'
import type { Sender } from '../../exporters/index.ts'
import type { Reading } from '../ingest/source.ts'
import { sentence } from '../kernel/watched/finding.ts'
import type { Finding } from '../kernel/watched/finding.ts'
import type { PolicyStatus } from '../policies/registry.ts'
import type { Answer } from './http.ts'

/** The reader reads the ring after each wakeup and every few seconds (host/housekeeping.ts). After this time it counts as stuck. */
const STUCK_MS = 10_000

export type ReadState = Pick<Reading, 'ended' | 'held' | 'silentMs'>

/** The part of a sender that is read here. */
export type Watched = Pick<Sender, 'name' | 'accounting' | 'blocks'>

/**
 * Whether the ring is read. Also 200 while exporters block the reader: a restart would not make the sink accept more, and would lose the
 * held events.
 */
export function livez({ ended, held, silentMs }: ReadState, senders: readonly Watched[]): Answer {
  if (ended || silentMs < STUCK_MS) return { status: 200, body: 'ok\n' }
  const since = `the ring has not been read for ${Math.floor(silentMs / 1000)} s`
  if (!held) return { status: 503, body: `${since}; it should be read every few seconds: restart the agent\n` }
  const names = senders.filter(({ blocks }) => blocks).map(({ name }) => name)
  return { status: 200, body: `ok, but ${since}: exporter ${names.join(', ')} blocks it (when_full: block)\n` }
}

export interface Readiness {
  /** Everything is attached, and no stop was requested. */
  readonly ready: boolean
  /** Enabled policies. */
  readonly policies: ReadonlyArray<Pick<PolicyStatus, 'id' | 'hooks' | 'skipped' | 'lacking'>>
  readonly senders: readonly Watched[]
  readonly tampering: readonly Finding[]
  /** Failures that the agent works without and tries to end: the API server of Kubernetes, an address to listen on. */
  readonly retried?: readonly string[]
}

/** The agent is not ready while others have silenced its hooks, or a policy lacks a whole group of functions. The same holds if an exporter needs manual action or has failed for good. An exporter that retries is only named. */
export function readyz({ ready, policies, senders, tampering, retried = [] }: Readiness): Answer {
  if (!ready) return { status: 503, body: 'starting or stopping\n' }
  const inState = (state: string): string[] =>
    senders
      .map((sender) => ({ name: sender.name, ...sender.accounting() }))
      .filter((accounting) => accounting.state === state)
      .map(({ name, lastError }) => `exporter ${name}${state === 'hold' ? '' : ` is ${state}`}: ${lastError}\n`)
  const held = [
    ...tampering.map((finding) => `tampering: ${sentence(finding)}\n`),
    ...policies.flatMap(({ id, lacking }) => lacking.map((message) => `policy ${id.name}: ${message}\n`)),
    ...inState('hold'),
    ...inState('failed'),
  ]
  const retrying = [...inState('retrying'), ...retried.map((problem) => `${problem}\n`)].join('')
  if (held.length > 0) return { status: 503, body: held.join('') + retrying }
  const hooks = policies.reduce((sum, policy) => sum + policy.hooks.length, 0)
  const skipped = policies.flatMap((policy) =>
    policy.skipped.map(
      ({ symbol }) => `policy ${policy.id.name}: this kernel has no ${symbol}, skipped until a module provides it\n`,
    ),
  )
  return {
    status: 200,
    body: `ready: ${plural(policies.length, 'policy')}, ${plural(hooks, 'hook')}\n${skipped.join('')}${retrying}`,
  }
}
