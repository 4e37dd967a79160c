import { writeFileSync } from 'node:fs'

const SWITCH = '/proc/sys/kernel/bpf_stats_enabled'

/** The kernel counts runs of BPF programs and their time until this is disposed. Needs root. */
export function keepStatistics(): Disposable {
  writeFileSync(SWITCH, '1')
  return { [Symbol.dispose]: () => writeFileSync(SWITCH, '0') }
}
