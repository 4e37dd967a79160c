/** Wait status → what an exit record says (tetragon.md §3.9). */
import { constants } from 'node:os'

const NAMES = new Map<number, string>()
for (const [name, number] of Object.entries(constants.signals)) if (!NAMES.has(number)) NAMES.set(number, name)

/** `code` is the kernel's exit code: status << 8, or a signal with bit 0x80 for a core dump. */
export function exitReason(code: number): { signal: string; status: number } {
  const number = (code & 0x80) !== 0 ? code & 0x7f : code & 0xff
  return { signal: number === 0 ? '' : (NAMES.get(number) ?? `SIGRTMIN+${number - 34}`), status: (code >>> 8) & 0xff }
}
