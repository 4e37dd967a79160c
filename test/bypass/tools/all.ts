/** All tools, in the order of the page. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { AUDIT_CALLS, AUDIT_WATCH } from './auditd.ts'
import { BY_IDENTITY, BY_NAME } from './ktrail.ts'
import { AIDE, SAMHAIN, TRIPWIRE } from './state.ts'
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
  TRIPWIRE,
]

/** The machine's folders, with the files of the tools where the machine has none. */
export function mountTools(tools: string): void {
  const changes = mkdtempSync('/run/tools-')
  for (const name of ['usr', 'etc', 'var']) {
    const [upper, work] = ['upper', 'work'].map((kind) => join(changes, name, kind))
    for (const folder of [upper, work]) mkdirSync(folder ?? '', { recursive: true })
    const options = `lowerdir=/${name}:${tools}/${name},upperdir=${upper},workdir=${work}`
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, `/${name}`])
  }
}
