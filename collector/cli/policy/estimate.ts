/** `ktrail policy estimate`: predicts the events of policies, from counts of their calls. */
import { formatDuration, parseDuration } from '../../../config/base/units.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Command } from '../command.ts'
import { dataText } from '../format.ts'
import { throughAgent } from '../watch/through.ts'
import { estimateAll } from './counting.ts'
import type { Forecast } from './forecast.ts'
import { policiesAt } from './read.ts'
import { predictedData, predictedText } from './report.ts'

const [MIN_MS, MAX_MS] = [1000, 3_600_000]

export const estimateCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('policy estimate requires at least one file or folder')
  const forMs = durationOf(given, '60s')
  const { files, problems } = await policiesAt(given.positionals)
  if (problems.length > 0) {
    await terminal.print(problems.map((line) => `${line}\n`).join(''))
    return EXIT_CONFIG
  }
  let forecasts: Forecast[] = []
  const run = async (): Promise<void> => void (forecasts = await estimateAll(files, forMs, given, terminal))
  await throughAgent(run, [], given, terminal)
  const data = await dataText(given.text('output'), predictedData(forecasts))
  await terminal.print(data ?? predictedText(forecasts, terminal.columns))
  return 0
}

/** `--for`, in ms. Throws UsageError. */
export function durationOf(given: Arguments, otherwise: string): number {
  const text = given.text('for') ?? otherwise
  const ms = parseDuration(text) ?? 0
  if (ms >= MIN_MS && ms <= MAX_MS) return ms
  throw new UsageError(
    `--for: expected a duration from ${formatDuration(MIN_MS)} to ${formatDuration(MAX_MS)}, got "${text}"`,
  )
}
