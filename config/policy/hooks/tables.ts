/** Fields of the kinds of hooks that are not functions; see ../tables.ts. */
import type { KeyTable } from '../tables.ts'

export const LSM_KEYS: KeyTable = {
  name: 'a hook of lsmhooks',
  meant: {
    name: 'hook',
    call: 'hook',
    function: 'hook',
    arguments: 'args',
    match: 'selectors',
    filters: 'selectors',
    description: 'message',
    msg: 'message',
    return: 'leave it out: a hook of the LSM is before the decision',
    syscall: 'leave it out',
  },
  own: ['hook', 'args', 'selectors', 'message', 'tags'],
  ours: ['aggregate', 'fileDetails'],
}

export const TRACEPOINT_KEYS: KeyTable = {
  name: 'a hook of tracepoints',
  meant: {
    subsys: 'subsystem',
    system: 'subsystem',
    category: 'subsystem',
    name: 'event',
    tracepoint: 'event',
    call: 'event',
    arguments: 'args',
    fields: 'args',
    match: 'selectors',
    filters: 'selectors',
    description: 'message',
    msg: 'message',
    return: 'leave it out: a tracepoint has no return',
    syscall: 'leave it out',
  },
  own: ['subsystem', 'event', 'raw', 'args', 'selectors', 'message', 'tags'],
}

export const ENFORCER_KEYS: KeyTable = {
  name: 'an item of enforcers',
  meant: { call: 'calls', functions: 'calls', syscalls: 'calls', list: 'calls', values: 'calls' },
  own: ['calls'],
}
