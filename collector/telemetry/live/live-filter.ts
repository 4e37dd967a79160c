/** Filters the events of a live reader of /events, by the query of its request. */
import { filtering } from '../../../config/agent/filtering/filter.ts'
import { createFilter, isHookEvent } from '../../../exporters/index.ts'
import type { LiveFilter } from '../../delivery/subscription.ts'
import type { Argument, Event, Process } from '../../../exporters/contract/event.ts'

/** By key of the query, the key of an exporter's filter. */
const KEYS = {
  type: 'event_types',
  policy: 'policies',
  namespace: 'namespaces',
  pod: 'pods',
  container: 'containers',
} as const

/**
 * `type`, `policy`, `namespace`, `pod` and `container`, each once or more, are those of an exporter's filter; `text` must be part of the
 * binary, the process's arguments, the function's name or a text of the event. Returns a message for a wrong query.
 */
export function parseLiveFilter(query: string): LiveFilter | string {
  const lists: Record<string, string[]> = {}
  let text = ''
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === 'text') text = value
    else if (isKey(key)) (lists[KEYS[key]] ??= []).push(value)
    else return `${JSON.stringify(key)}: expected type, policy, namespace, pod, container or text`
  }
  const { data, error } = filtering.filter.safeParse(lists)
  if (error !== undefined) {
    const [issue] = error.issues
    const key = Object.entries(KEYS).find(([, filter]) => filter === issue?.path[0])?.[0]
    return `${key ?? 'query'}: ${issue?.message ?? error.message}`
  }
  const filter = createFilter(data ?? {})
  return { accepts: (event) => filter.accepts(event) && (text === '' || mentions(event, text)) }
}

function isKey(key: string): key is keyof typeof KEYS {
  return Object.hasOwn(KEYS, key)
}

/** Loss records, which have no process, are for every reader. */
function mentions(event: Event, text: string): boolean {
  if (!('process' in event) || processMentions(event.process, text)) return true
  if (!isHookEvent(event)) return false
  return event.hook.functionName.includes(text) || event.args.some((argument) => argumentMentions(argument, text))
}

function processMentions({ binary, arguments: argv }: Process, text: string): boolean {
  return binary.includes(text) || argv.includes(text)
}

function argumentMentions(argument: Argument, text: string): boolean {
  for (const value of Object.values(argument)) if (typeof value === 'string' && value.includes(text)) return true
  return false
}
