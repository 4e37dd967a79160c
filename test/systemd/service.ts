/** The installed service, as systemd and its exporter's file show it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { until } from '../e2e/support/wait.ts'

export const EVENTS = '/var/log/ktrail/events.jsonl'

export const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' })
export const show = (property: string): string =>
  run('systemctl', 'show', 'ktrail', '--value', '--property', property).trim()
export const active = (): boolean => show('ActiveState') === 'active'
export const journal = (): string => run('journalctl', '-u', 'ktrail', '-o', 'cat', '--no-pager')

/** Kernels whose hooks are perf events, which Debian leaves to CAP_SYS_ADMIN. */
const BY_PERF_EVENTS = ['5.10', '6.1']
export const kernel = process.env['KTRAIL_GUEST'] ?? ''
export const byPerfEvents: boolean = BY_PERF_EVENTS.includes(kernel)
/** Capabilities of the agent with the unit's rights: BPF, PERFMON, SYSLOG, SYS_PTRACE; SYS_ADMIN only where the kernel requires it. */
export const CAPABILITIES: RegExp = byPerfEvents ? /^CapEff:\t000000c400280000$/m : /^CapEff:\t000000c400080000$/m

export function check(): { readonly status: number | null; readonly text: string } {
  const line = ['check', '--kernel', '--config', '/etc/ktrail/ktrail.yaml']
  const { status, stdout, stderr } = spawnSync('ktrail', line, { encoding: 'utf8' })
  return { status, text: stdout + stderr }
}

export interface Access {
  readonly pid: number
  readonly what: string
}

/** Accesses to files in the exporter's file: `/usr/bin/cat security_file_permission /etc/passwd`. */
export function accesses(): Access[] {
  const lines = readFileSync(EVENTS, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"process_kprobe"'))
  return lines.map((line) => {
    const { process, function_name: name, args } = JSON.parse(line).process_kprobe
    const { path } = args[0].file_arg ?? args[0].path_arg ?? {}
    return { pid: process.pid, what: `${process.binary} ${name} ${path}` }
  })
}

/** Time for two starts of the agent on a busy machine. */
const STARTS_MS = 300_000

/** Checks once a second: each check may be a program, which costs the guest a tenth of a second, and which the agent records. */
export const eventually = (what: string, look: () => boolean): Promise<unknown> => {
  const looks = async (): Promise<boolean> => {
    await setTimeout(1000)
    return look()
  }
  return until(what, looks, { ms: STARTS_MS })
}

/** Waits for a line in the journal, among so many earlier ones and those that come. One program, where a look each second would be many. */
export async function logged(what: RegExp, earlier: 'all' | 0 = 'all'): Promise<void> {
  const follow = ['-u', 'ktrail', '-o', 'cat', '--follow', '--lines', String(earlier)]
  const journalctl = spawn('journalctl', follow, { stdio: ['ignore', 'pipe', 'inherit'], timeout: STARTS_MS })
  try {
    for await (const line of createInterface({ input: journalctl.stdout })) if (what.test(line)) return
  } finally {
    journalctl.kill()
  }
  assert.fail(`no line ${what} in the journal within ${STARTS_MS} ms: ${journal()}`)
}

export const seen = (what: string): Promise<unknown> =>
  eventually(`an event "${what}"`, () => accesses().some((access) => access.what === what))
