import type { Terminal } from './command.ts'
import { runGroup } from './group.ts'
import { KTRAIL } from './table/table.ts'

/** `ktrail`: resolves to the exit code. Rejects with UsageError for wrong arguments. */
export function ktrail(args: readonly string[], terminal: Terminal): Promise<number> {
  const isVersion = args[0] === '--version' || args[0] === '-V'
  return runGroup('ktrail', KTRAIL, isVersion ? ['version', ...args.slice(1)] : args, terminal)
}
