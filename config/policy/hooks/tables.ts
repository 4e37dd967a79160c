/** Fields of the kinds of hooks that are not functions; see ../tables.ts. */
import type { KeyTable } from '../tables.ts'

export const LSM_KEYS: KeyTable = {
  name: 'a hook of lsmhooks',
  own: ['hook', 'args', 'selectors', 'message', 'tags'],
  ours: ['aggregate', 'fileDetails'],
}

export const TRACEPOINT_KEYS: KeyTable = {
  name: 'a hook of tracepoints',
  own: ['subsystem', 'event', 'raw', 'args', 'selectors', 'message', 'tags'],
}

export const ENFORCER_KEYS: KeyTable = {
  name: 'an item of enforcers',
  own: ['calls'],
}
