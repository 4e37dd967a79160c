/** Hooks of `spec.tracepoints`. */
import { AUTO, RAW_TYPES, TRACEPOINT_TYPES } from '../arguments.ts'
import { Fields } from '../fields.ts'
import type { Place } from '../fields.ts'
import { readArguments } from '../types/argument.ts'
import { PLAIN_HOOK, readReported } from '../kprobe.ts'
import type { Listable } from '../types/argument.ts'
import type { Lists } from '../lists.ts'
import type { KprobeSpec } from '../policy.ts'
import { readSelectors } from '../selector.ts'
import { denies, refuseStacks } from '../selectors/actions.ts'
import type { Macros } from '../selectors/macros.ts'
import { KEYS } from '../tables.ts'
import { show } from '../../yaml/problems.ts'

/** No name is longer. */
export const MAX_NAME = 128
/** More than any tracepoint has, the four common ones included. */
export const MAX_FIELD = 127
/** include/trace/bpf_probe.h: more than any tracepoint has; Tetragon's bound. */
const MAX_RAW = 5

const FIELDS: Listable = {
  types: TRACEPOINT_TYPES,
  of: 'a tracepoint',
  maxIndex: MAX_FIELD,
  untyped: AUTO,
  position: "the position among the fields of the tracepoint's format, where 4 is the first after the four common ones",
}
const RAW: Listable = {
  types: RAW_TYPES,
  of: 'a tracepoint',
  maxIndex: MAX_RAW,
  resolves: true,
  position: `the position among the arguments of the tracepoint, from 0 to ${MAX_RAW}`,
}

/** One entry of `spec.tracepoints`. Empty only after at least one problem. */
export function readTracepoint(place: Place, lists: Lists, macros: Macros): KprobeSpec[] {
  const fields = Fields.of(place, KEYS.tracepoint)
  if (fields === undefined) return []
  const subsystem = readName(fields, 'subsystem', 'sched')
  const event = readName(fields, 'event', 'sched_process_exec')
  const raw = fields.flag('raw', false)
  const args = readArguments(fields, raw ? RAW : FIELDS)
  const selectors = readSelectors(fields, args, [], macros, lists)
  refuseStacks(selectors, fields)
  if (denies({ selectors })) {
    const sentence = 'action Override: a tracepoint cannot fail; hook the function with kprobes'
    fields.refuse('selectors', sentence)
  }
  const reported = readReported(fields)
  if (subsystem === undefined || event === undefined) return []
  return [
    {
      ...PLAIN_HOOK,
      type: raw ? 'rawTracepoint' : 'tracepoint',
      call: `${subsystem}:${event}`,
      args: args.filter((arg) => arg !== undefined),
      selectors,
      ...reported,
      at: place.node.at,
    },
  ]
}

function readName(fields: Fields, key: string, example: string): string | undefined {
  const place = fields.needText(key, `a name such as ${example}`)
  if (place === undefined) return undefined
  const name = place.text
  if (/^\w[\w-]*$/.test(name) && name.length <= MAX_NAME) return name
  const [, subsystem, event] = /^(\w+)[/:](\w+)$/.exec(name) ?? []
  const hint = event === undefined ? '' : `; write subsystem: ${subsystem} and event: ${event}`
  return place.refuse(`expected a name such as ${example}, got ${show(name)}${hint}`)
}
