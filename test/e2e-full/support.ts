import { readFileSync } from 'node:fs'
import { cannotRun } from '../e2e/support/agent.ts'
import { sys } from '../support/policies/calls.ts'
import type { HookDocument } from '../support/policies/documents.ts'

/** Why tests of full preemption cannot run here; false if they can. */
export function cannotPreempt(): string | false {
  const why = cannotRun()
  if (why !== false) return why
  return /(?:^|\s)preempt=full(?:\s|$)/m.test(readFileSync('/proc/cmdline', 'utf8'))
    ? false
    : 'this kernel was not booted with preempt=full'
}

const AT_FDCWD = -100

/** The ring is read after a round of reads. */
export const READS_A_ROUND = 20_000
export const RING_BYTES = 64 << 20

/** The call that opens a file to read it. */
export const opening = (file: string): ReturnType<typeof sys> => sys('openat', AT_FDCWD, { text: file }, 0)

/** Accesses to files with such a path, with their return values. */
export const fileAccess = (operator: string, ...values: string[]): HookDocument => ({
  call: 'security_file_permission',
  syscall: false,
  return: true,
  returnArg: { index: 0, type: 'int' },
  args: [{ index: 0, type: 'file' }],
  selectors: [{ matchArgs: [{ index: 0, operator, values }] }],
})
