/** All tools, in the order of the page. */
import { AUDIT_CALLS, AUDIT_WATCH } from './auditd.ts'
import { BY_IDENTITY, BY_NAME } from './ktrail.ts'
import { AIDE, SAMHAIN } from './state.ts'
import type { Tool } from './tool.ts'
import { BPFTRACE, FATRACE, INOTIFYWAIT } from './watchers.ts'

export const TOOLS: readonly Tool[] = [
  BY_IDENTITY,
  BY_NAME,
  AUDIT_WATCH,
  AUDIT_CALLS,
  FATRACE,
  INOTIFYWAIT,
  BPFTRACE,
  AIDE,
  SAMHAIN,
]
