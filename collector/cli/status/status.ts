/** `ktrail status`. */
import { setTimeout } from 'node:timers/promises'
import type { Command } from '../command.ts'
import { dataText, folded } from '../format.ts'
import { awaitStatus } from './page.ts'
import { eventLines, exporterTable, headLines, policyTable } from './screen.ts'
import { pageSourceOf } from './source.ts'

/** Pause between the two pages for rates: the agent makes one page a second. */
const BETWEEN_MS = 1_050

/** More do not fit a terminal; -o wide has all. */
const MOST_POLICIES = 10

/** Exit code 1 if the agent is not ready. */
export const statusCommand: Command = async (given, terminal) => {
  const source = await pageSourceOf(given, terminal)
  const first = await awaitStatus(source, terminal)
  const format = given.text('output')
  const data = format === 'json' ? first.text : await dataText(format, JSON.parse(first.text))
  if (data !== undefined) {
    await terminal.print(data)
    return first.page.ready ? 0 : 1
  }
  await setTimeout(BETWEEN_MS)
  const { page } = await awaitStatus(source, terminal)
  const { page: before } = first
  const [columns, width, most] =
    format === 'wide' ? [undefined, Infinity, Infinity] : [terminal.columns, undefined, MOST_POLICIES]
  const parts = [headLines(page), eventLines(page, before), exporterTable(page, before, columns, width)]
  if (page.policies.length > 0) parts.push(policyTable(page, before, columns, width, most))
  await terminal.print(folded(`${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`, columns))
  return page.ready ? 0 : 1
}
