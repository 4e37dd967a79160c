/** Reads the policy files of a command line. */
import { namedFiles } from '../../../config/policy/sources/files.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'

export interface PolicyFile {
  readonly file: string
  readonly text: string
  readonly policy: Policy
}

/** `problems`: lines about files with mistakes. */
export async function policiesAt(
  places: readonly string[],
): Promise<{ readonly files: readonly PolicyFile[]; readonly problems: readonly string[] }> {
  const files: PolicyFile[] = []
  const problems: string[] = []
  for (const place of places) {
    const found = await namedFiles(place)
    if (found instanceof Error || found.length === 0) {
      const message = found instanceof Error ? found.message : 'the folder has no *.yaml or *.yml file'
      problems.push(formatProblem({ file: place, line: 0, col: 0, message }))
      continue
    }
    for (const file of found) {
      const read = await readTextFile(file)
      const result = 'problems' in read ? read : parsePolicy(read.text, file)
      if ('problems' in result) problems.push(...result.problems.map(formatProblem))
      else if ('text' in read) files.push({ file, text: read.text, policy: result.policy })
    }
  }
  return { files, problems }
}
