/** `ktrail policy add`: gives policy files to a running agent. */
import { namedFiles } from '../../../config/policy/sources/files.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { ApiClient } from '../../api/client.ts'
import { ClientError } from '../../api/client.ts'
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import { UsageError } from '../command.ts'
import type { Command, Terminal } from '../command.ts'
import { clientOf } from '../server.ts'

/** Fails with 78 when a file has mistakes or the kernel refuses it; the other files are added. */
export const addCommand: Command = async (given, terminal) => {
  if (given.positionals.length === 0) throw new UsageError('policy add requires a file, a folder or library:NAME')
  using client = await clientOf(given)
  const domain = given.text('domain') ?? ''
  let wrong = 0
  for (const place of given.positionals) {
    const files = await namedFiles(place)
    if (files instanceof Error || files.length === 0) {
      const message = files instanceof Error ? files.message : 'the folder has no *.yaml or *.yml file'
      await terminal.print(`${formatProblem({ file: place, line: 0, col: 0, message })}\n`)
      wrong++
      continue
    }
    for (const file of files) if (!(await add(file, domain, client, terminal))) wrong++
  }
  return wrong === 0 ? 0 : EXIT_CONFIG
}

async function add(file: string, domain: string, client: ApiClient, { print, printError }: Terminal): Promise<boolean> {
  const refuse = async (lines: readonly string[]): Promise<boolean> => {
    await print(lines.map((line) => `${line}\n`).join(''))
    return false
  }
  const read = await readTextFile(file)
  if ('problems' in read) return refuse(read.problems.map(formatProblem))
  const parsed = parsePolicy(read.text, file)
  if ('problems' in parsed) return refuse(parsed.problems.map(formatProblem))
  try {
    await client.call(FineGuidanceSensors.method.addTracingPolicy, { yaml: read.text, domain })
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    // An agent of another version may report mistakes that this version accepts; it names the domain instead of the file.
    if (error.code === 'INVALID_ARGUMENT') {
      return refuse(error.message.split('\n').map((line) => line.replace(/^[a-z0-9.-]+(?=:\d+:\d+: )/, file)))
    }
    if (error.code !== 'FAILED_PRECONDITION' && error.code !== 'ALREADY_EXISTS') throw error
    return refuse([formatProblem({ file, line: 0, col: 0, message: error.message })])
  }
  printError(`policy ${parsed.policy.name} added`)
  return true
}
