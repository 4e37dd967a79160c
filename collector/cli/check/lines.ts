import type { Checked } from '../../../config/agent/check.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { Problem } from '../../../config/yaml/problems.ts'

type Severity = 'error' | 'warning' | 'note'
type Format = (problem: Problem, severity: Severity) => string

/** The output of `ktrail check` for a file; '' for a file without mistakes, warnings and notes. */
export function linesOf({ problems, warnings, notes }: Checked, format = 'text'): string {
  const line = FORMATS[format] ?? asText
  const lines = (severity: Severity, list: readonly Problem[]): string[] => list.map((each) => line(each, severity))
  return [...lines('error', problems), ...lines('warning', warnings), ...lines('note', notes)]
    .map((each) => `${each}\n`)
    .join('')
}

const asText: Format = (problem, severity) =>
  formatProblem(severity === 'error' ? problem : { ...problem, message: `${severity}: ${problem.message}` })

const FORMATS: Readonly<Record<string, Format>> = {
  json: ({ file, line, col, message }, severity) =>
    JSON.stringify({ file, ...(line === 0 ? {} : { line, column: col }), message, severity }),
  /** A workflow command of GitHub Actions, which marks the line in a pull request. */
  github: ({ file, line, col, message }, severity) => {
    const at = line === 0 ? '' : `,line=${line},col=${col}`
    return oneLine(`::${severity === 'note' ? 'notice' : severity} file=${property(file)}${at}::${data(message)}`)
  },
}

/** As actions/toolkit escapes them: packages/core/src/command.ts. */
const data = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
