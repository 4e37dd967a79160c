import { readFileSync } from 'node:fs'
import { cannotRun } from '../e2e/support/agent.ts'

/** Why tests of full preemption cannot run here; false if they can. */
export function cannotPreempt(): string | false {
  const why = cannotRun()
  if (why !== false) return why
  return /(?:^|\s)preempt=full(?:\s|$)/m.test(readFileSync('/proc/cmdline', 'utf8'))
    ? false
    : 'this kernel was not booted with preempt=full'
}
