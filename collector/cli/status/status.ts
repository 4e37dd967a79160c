/** `ktrail status`. */
import { setTimeout } from 'node:timers/promises'
import type { Command, Terminal } from '../command.ts'
import { dataText, folded } from '../format.ts'
import { awaitStatus, PageError } from './page.ts'
import type { PageSource, Read, StatusPage } from './page.ts'
import { eventLines, exporterTable, headLines, policyTable } from './screen.ts'
import { pageSourceOf } from './source.ts'

/** Pause between the two pages for rates: the agent makes one page a second. */
const BETWEEN_MS = 1_050

/** More do not fit a terminal; -o wide has all. */
const MOST_POLICIES = 10

const CLEAR = '\x1b[H\x1b[2J'

/** Exit code 1 if the agent is not ready. */
export const statusCommand: Command = async (given, terminal) => {
  const source = await pageSourceOf(given, terminal)
  const [format, watches] = [given.text('format'), given.flag('watch')]
  const isData = format === 'json' || format === 'yaml'
  const between = watches && terminal.columns !== undefined ? CLEAR : watches && format === 'yaml' ? '---\n' : ''
  const first = await awaitStatus(source, terminal)
  for (let before = first, wait = !isData; ; wait = true) {
    if (wait) await setTimeout(BETWEEN_MS)
    const now = wait ? await next(source, watches, terminal) : first
    if (now === undefined) continue
    const data = format === 'json' ? now.text : await dataText(format, JSON.parse(now.text))
    const goesOn = await terminal.print(between + (data ?? screenText(now.page, before.page, format, terminal)))
    if (!watches || !goesOn) return now.page.ready ? 0 : 1
    before = now
  }
}

/** The page; undefined if the agent does not answer and the command waits for it. */
async function next(source: PageSource, waits: boolean, terminal: Terminal): Promise<Read | undefined> {
  try {
    return await awaitStatus(source, terminal)
  } catch (error) {
    if (!waits || !(error instanceof PageError)) throw error
    terminal.printError(`ktrail: ${error.message}`)
    return undefined
  }
}

function screenText(page: StatusPage, before: StatusPage, format: string | undefined, terminal: Terminal): string {
  const [columns, width, most] =
    format === 'wide' ? [undefined, Infinity, Infinity] : [terminal.columns, undefined, MOST_POLICIES]
  const parts = [headLines(page), eventLines(page, before), exporterTable(page, before, columns, width)]
  if (page.policies.length > 0) parts.push(policyTable(page, before, columns, width, most))
  return folded(`${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`, columns)
}
