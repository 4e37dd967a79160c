/** Wait status → signal and status of an exit record. */
import { constants } from 'node:os'

const NAMES = new Map<number, string>()
for (const [name, number] of Object.entries(constants.signals)) if (!NAMES.has(number)) NAMES.set(number, name)

/** glibc's first real-time signal; 32 and 33 are its own and have no name. */
const SIGRTMIN = 34

function nameOf(signal: number): string {
  const known = NAMES.get(signal)
  if (signal === 0 || known !== undefined) return known ?? ''
  if (signal === SIGRTMIN) return 'SIGRTMIN'
  return signal > SIGRTMIN ? `SIGRTMIN+${signal - SIGRTMIN}` : `SIG${signal}`
}

/** `code` is the kernel's exit code: status << 8, or a signal with bit 0x80 for a core dump. */
export function exitReason(code: number): { signal: string; status: number } {
  const number = (code & 0x80) !== 0 ? code & 0x7f : code & 0xff
  return { signal: nameOf(number), status: (code >>> 8) & 0xff }
}
