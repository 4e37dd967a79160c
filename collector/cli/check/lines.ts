import type { Checked } from '../../../config/agent/check.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'

/** The output of `ktrail check` for a file; '' for a file without mistakes, warnings and notes. */
export function linesOf({ problems, warnings, notes }: Checked): string {
  const marked = (word: string, list: typeof notes): typeof problems =>
    list.map((item) => ({ ...item, message: `${word}: ${item.message}` }))
  return [...problems, ...marked('warning', warnings), ...marked('note', notes)]
    .map((problem) => `${formatProblem(problem)}\n`)
    .join('')
}
