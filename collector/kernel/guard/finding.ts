/** What was found changed behind the agent's back. */

export const FINDING_KINDS = [
  'link_gone',
  'gate_changed',
  'kprobes_disarmed',
  'ftrace_disabled',
  'hook_silent',
] as const

export type FindingKind = (typeof FINDING_KINDS)[number]

export interface Finding {
  readonly kind: FindingKind
  /** A kernel function, one of our process programs, or a file with a switch of the kernel. */
  readonly on: string
  readonly expected: string
  readonly got: string
  /** Put right at once; calls before that were not seen. */
  readonly repaired: boolean
}

const ADVICE: Readonly<Record<FindingKind, string>> = {
  link_gone: 'restart the agent',
  gate_changed: 'restart the agent',
  kprobes_disarmed: 'write 1 to it',
  ftrace_disabled: 'write 1 to it',
  hook_silent: 'restart the agent',
}

/** One line for people. */
export const sentence = ({ kind, on, expected, got, repaired }: Finding): string =>
  `${on}: ${got}, expected ${expected}: ${repaired ? 'put right' : ADVICE[kind]}`
