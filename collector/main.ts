/** The command line: prints errors and sets exit codes. The commands are in `cli/ktrail.ts`. */
import { ConfigError } from '../config/yaml/errors.ts'
import { oneLine } from '../config/base/quoting.ts'
import { hungThreads } from '../config/base/time/answered.ts'
import { endProcess } from '../native/index.ts'
import { exitCodeOf, systemTerminal, UsageError } from './cli/command.ts'
import { ktrail } from './cli/ktrail.ts'
import { CollectorError } from './errors.ts'

/** Prints the message of a known error; any other error is a fault of ours and is printed with its stack. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`ktrail: ${oneLine(error.message)}\nSee: ${error.see ?? 'ktrail help'}`)
  } else if (error instanceof ConfigError || (error instanceof CollectorError && error.code === 'POLICY_REFUSED')) {
    console.error(error.message)
  } else {
    const known = error instanceof Error && 'code' in error
    console.error(`ktrail: ${known ? oneLine(error.message) : error instanceof Error ? error.stack : String(error)}`)
  }
  return exitCodeOf(error)
}

const end = (code: number): never => (hungThreads() > 0 ? endProcess(code) : process.exit(code))
// The bundle is CommonJS, without `await` here, for which Node would fail if nothing were left that could settle it.
process.exitCode = 1
void ktrail(process.argv.slice(2), systemTerminal).catch(report).then(end)
