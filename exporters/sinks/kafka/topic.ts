/** Topic names, fixed or by template: `events.{event_type}`, `ktrail.{policy}`, `audit.{namespace}`. */
import { createHash } from 'node:crypto'
import type { About } from '../../contract/described.ts'

/** Source: Kafka's Topic.java. */
const MAX_LENGTH = 249
const HASH_LENGTH = 8
const PLACE = /\{([^{}]*)\}/g

/** The topic of an event. `namespace`: as in `namespaceOf`. */
export type TopicOf = (about: About, namespace?: string) => string

/** Namespaces come and go in an agent that runs for years. */
const MOST_MADE = 4096

export const namesNamespace = (template: string): boolean => template.includes('{namespace}')

/**
 * Parses a template. `{policy}` is `none` for events without a policy, and so is `{namespace}` outside of pods. Invalid characters become
 * `_`. The end of a long name is replaced by a hash of the whole.
 */
export function parseTopic(template: string): TopicOf {
  if (!template.includes('{')) return () => template
  const made = new Map<string, string>()
  return ({ type: own, policy }, namespace = '') => {
    // Records about the run and about changes go where loss records go: no topic of their own is needed.
    const type = own === 'agent_run' || own === 'agent_change' ? 'events_lost' : own
    const name = `${type} ${namespace} ${policy}`
    const known = made.get(name)
    if (known !== undefined) return known
    const topic = shorten(
      fill(template, { event_type: type, policy: policy || 'none', namespace: namespace || 'none' }),
    )
    if (made.size >= MOST_MADE) made.clear()
    made.set(name, topic)
    return topic
  }
}

/** Types that have topics of their own. */
const TYPES = [
  'process_exec',
  'process_exit',
  'process_kprobe',
  'process_lsm',
  'process_tracepoint',
  'events_lost',
] as const

/** All topics of a template; none when they depend on policies or namespaces. */
export function topicsOfTypes(template: string): string[] {
  if (template.includes('{policy}') || namesNamespace(template)) return []
  const topicOf = parseTopic(template)
  return [...new Set(TYPES.map((type) => topicOf({ type, policy: '' })))]
}

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(PLACE, (_, place: string) => (values[place] ?? '').replaceAll(/[^a-zA-Z0-9._-]/g, '_'))
}

/** The hash keeps long names with the same start different. */
function shorten(name: string): string {
  if (name.length <= MAX_LENGTH) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LENGTH)
  return `${name.slice(0, MAX_LENGTH - HASH_LENGTH - 1)}-${hash}`
}
