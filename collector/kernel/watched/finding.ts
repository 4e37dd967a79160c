/** Findings: changes behind the agent's back. */

/** Advice for findings that the agent does not repair. */
const ADVICE = {
  link_gone: 'restart the agent',
  gate_changed: 'restart the agent',
  kprobes_disarmed: 'write 1 to it',
  ftrace_disabled: 'write 1 to it',
  hook_silent: 'restart the agent',
  records_missing: 'restart the agent',
  process_map_changed: 'restart the agent',
  join_map_changed: 'restart the agent',
  policy_map_changed: 'restart the agent',
  agent_stopped: 'continue it',
  agent_traced: 'end that process',
} as const

export type FindingKind = keyof typeof ADVICE

export const FINDING_KINDS = Object.keys(ADVICE) as FindingKind[]

export interface Finding {
  readonly kind: FindingKind
  /** A kernel function, one of our process programs, a map, a file with a switch of the kernel, or the agent. */
  readonly on: string
  readonly expected: string
  readonly got: string
  /** Repaired at once, or over; calls before that were not seen. */
  readonly repaired: boolean
}

/** Texts for findings that are repaired or over. */
const OVER: Partial<Record<FindingKind, string>> = {
  join_map_changed: 'their return values are unknown',
  records_missing: 'search for another program that reads the ring',
  agent_stopped: 'it runs again',
}

/** One line for people. */
export const sentence = ({ kind, on, expected, got, repaired }: Finding): string =>
  `${on}: ${got}, expected ${expected}: ${repaired ? (OVER[kind] ?? 'repaired') : ADVICE[kind]}`
