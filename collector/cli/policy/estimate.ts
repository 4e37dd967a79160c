/** `ktrail policy estimate`: predicts the events of policies, from counts of their calls. */
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataText } from '../format.ts'
import { durationOf } from '../table/time.ts'
import { throughAgent } from '../watch/through.ts'
import { estimateAll } from './counting.ts'
import type { Forecast } from './forecast.ts'
import { policiesAt } from './read.ts'
import { predictedData, predictedText } from './report.ts'

export const estimateCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('policy estimate requires at least one file or folder')
  const forMs = durationOf(given, 'for', '60s')
  const { files, problems } = await policiesAt(given.positionals)
  if (problems.length > 0) {
    await terminal.print(problems.map((line) => `${line}\n`).join(''))
    return EXIT_CONFIG
  }
  let forecasts: Forecast[] = []
  const run = async (): Promise<void> => void (forecasts = await estimateAll(files, forMs, given, terminal))
  await throughAgent(run, [], given, terminal)
  const data = await dataText(given.text('format'), predictedData(forecasts))
  await terminal.print(data ?? predictedText(forecasts, terminal.columns))
  return 0
}
