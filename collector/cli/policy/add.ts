/** `ktrail policy add`: gives policy files to a running agent. */
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import { counted } from '../../../config/base/counts.ts'
import type { ApiClient } from '../../api/client.ts'
import { ClientError } from '../../api/client.ts'
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import { UsageError } from '../command.ts'
import type { Arguments, Command, Terminal } from '../command.ts'
import { clientOf } from '../server.ts'
import { durationOf } from '../table/time.ts'
import { estimateAll } from './counting.ts'
import { policiesAt } from './read.ts'
import type { PolicyFile } from './read.ts'
import { hottest } from './report.ts'

/** `--estimate` warns above it. */
const MOST_PER_SECOND = 100
const ESTIMATED = '10s'

/** Fails with 78 when a file has mistakes or the kernel refuses it; the other files are added. */
export const addCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('policy add requires a file, a folder or library:NAME')
  if (given.text('for') !== undefined && !given.flag('estimate')) throw new UsageError('--for requires --estimate')
  const forMs = durationOf(given, 'for', ESTIMATED)
  using client = await clientOf(given)
  const domain = given.text('domain') ?? ''
  const { files, problems } = await policiesAt(given.positionals)
  if (problems.length > 0) await terminal.print(problems.map((line) => `${line}\n`).join(''))
  if (given.flag('estimate')) await warn(files, forMs, given, terminal)
  let wrong = problems.length
  for (const file of files) if (!(await add(file, domain, client, terminal))) wrong++
  return wrong === 0 ? 0 : EXIT_CONFIG
}

async function add(
  { file, text, policy }: PolicyFile,
  domain: string,
  client: ApiClient,
  { print, printError }: Terminal,
): Promise<boolean> {
  const refuse = async (lines: readonly string[]): Promise<boolean> => {
    await print(lines.map((line) => `${line}\n`).join(''))
    return false
  }
  try {
    await client.call(FineGuidanceSensors.method.addTracingPolicy, { yaml: text, domain })
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    // An agent of another version may report mistakes that this version accepts; it names the domain instead of the file.
    if (error.code === 'INVALID_ARGUMENT') {
      return refuse(error.message.split('\n').map((line) => line.replace(/^[a-z0-9.-]+(?=:\d+:\d+: )/, file)))
    }
    if (error.code !== 'FAILED_PRECONDITION' && error.code !== 'ALREADY_EXISTS') throw error
    return refuse([formatProblem({ file, line: 0, col: 0, message: error.message })])
  }
  printError(`policy ${policy.name} added`)
  return true
}

/** A policy that the agent refuses now is refused again when it is added. */
async function warn(files: readonly PolicyFile[], forMs: number, given: Arguments, terminal: Terminal): Promise<void> {
  const forecasts = await estimateAll(files, forMs, given, terminal).catch((error: unknown) => {
    if (!(error instanceof ClientError) || error.noAgent) throw error
    terminal.printError(`ktrail: no estimate: ${error.message}`)
    return []
  })
  for (const forecast of forecasts) {
    const rate = forecast.rate(forecast.events)
    if (rate <= MOST_PER_SECOND) continue
    const [path] = hottest([forecast], 'paths')
    const [program] = hottest([forecast], 'programs')
    const most = `${path === undefined ? '' : ` on ${path.name}`}${program === undefined ? '' : ` by ${program.name}`}`
    const events = `${counted(Math.round(rate))} events/s`
    terminal.printError(
      `warning: policy ${forecast.name}: expected at most ${MOST_PER_SECOND} events/s, got an estimate of ${events}, most${most}; narrow its selectors`,
    )
  }
}
