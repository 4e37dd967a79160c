/** Whether the agent may open perf events, as which the kernel attaches some hooks: as ktrail.service if that is installed, else as this process. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Finding } from '../../plan/features.ts'

export interface PerfEvents {
  readonly state: 'permitted' | 'refused' | 'unknown'
  /** The holder of the rights, as messages name it. */
  readonly holder: string
}

const UNIT = 'ktrail.service'
const SYSTEMCTL_MS = 5_000
/** include/uapi/linux/capability.h */
const CAP_SYS_ADMIN = 21n

/**
 * `withoutAdmin`: whether the kernel opens them without CAP_SYS_ADMIN (native `perfEvents`). `unit`: the properties that systemd shows of the unit.
 */
export async function readPerfEvents(
  isRoot: boolean,
  withoutAdmin: () => boolean,
  unit: () => Promise<string> = showUnit,
): Promise<PerfEvents> {
  const shown = await unit().catch(() => '')
  const installed = /^LoadState=loaded$/m.test(shown)
  const holder = installed ? UNIT : 'this process'
  if (!isRoot) return { state: 'unknown', holder }
  const isAdmin = installed ? /^CapabilityBoundingSet=.*\bcap_sys_admin\b/m.test(shown) : isOwnAdmin()
  return { state: isAdmin || withoutAdmin() ? 'permitted' : 'refused', holder }
}

const showUnit = async (): Promise<string> => {
  const properties = ['--property=LoadState', '--property=CapabilityBoundingSet']
  return (await promisify(execFile)('systemctl', ['show', UNIT, ...properties], { timeout: SYSTEMCTL_MS })).stdout
}

function isOwnAdmin(): boolean {
  const [, effective = '0'] = /^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n
}

/** `needed`: the agent's own hooks are perf events. */
export function perfEventsFinding({ state, holder }: PerfEvents, needed: boolean): Finding {
  if (state === 'permitted') return { state: 'ok', text: `perf events: permitted to ${holder}` }
  if (state === 'unknown') return { state, text: `perf events: only root can check whether ${holder} may open them` }
  return needed
    ? { state: 'missing', text: `perf events, which attach the agent's own hooks here: ${refusedTo(holder)}` }
    : {
        state: 'without',
        text: `perf events: policies with tracepoints, or with hooks in modules on some kernels, are refused: ${refusedTo(holder)}`,
      }
}

/** The finding about a policy with hooks that are perf events. */
export const policyRefused = (policy: string, { holder }: PerfEvents): Finding => ({
  state: 'missing',
  text: `policy ${policy}: its hooks are perf events: ${refusedTo(holder)}`,
})

/** The commands are those of native/kernel/link.cc, AttachFailure. */
const refusedTo = (holder: string): string =>
  `this kernel requires CAP_SYS_ADMIN, which ${holder} does not have: run \`systemctl edit ktrail\` and add the lines [Service] and CapabilityBoundingSet=CAP_SYS_ADMIN, or run \`sysctl kernel.perf_event_paranoid=2\``
