/** Reads the policy files of a command line. */
import { policyFilesAt } from '../../../config/policy/files.ts'
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
    // A place that cannot be read is reported as a file.
    const found = await policyFilesAt(place).catch(() => [place])
    if (found.length === 0)
      problems.push(formatProblem({ file: place, line: 0, col: 0, message: 'the folder has no *.yaml or *.yml file' }))
    for (const file of found) {
      const read = await readTextFile(file)
      const result = 'problems' in read ? read : parsePolicy(read.text, file)
      if ('problems' in result) problems.push(...result.problems.map(formatProblem))
      else if ('text' in read) files.push({ file, text: read.text, policy: result.policy })
    }
  }
  return { files, problems }
}
