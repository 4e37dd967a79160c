/** Names that a shell completes: policies of a running agent and of the library, and exporters of the config. */
import { DEFAULT_SERVER } from '../../config/base/addresses.ts'
import { LIBRARY } from '../../config/base/paths.ts'
import { libraryPolicies } from '../../config/policy/sources/library.ts'
import { ApiClient } from '../api/client.ts'
import { FineGuidanceSensors } from '../proto/tetragon/sensors_pb.js'
import { readArguments } from './command.ts'
import type { Terminal } from './command.ts'
import { readConfig } from './config-file.ts'
import type { Named } from './help/offers.ts'
import { SHARED_OPTIONS } from './table/options.ts'

/** The user waits after the tab key. */
const ANSWER_MS = 300
/** Matches the names of policies and exporters. Other names could be more than one word to a shell. */
const WORD = /^(?:library:)?[\w.-]{1,253}$/

export function namesOf(terminal: Pick<Terminal, 'env'>): Named {
  return async (kind, words) => {
    const find = {
      policies: () => policies(valueOf('server', words)),
      library,
      exporters: () => exporters(valueOf('config', words), terminal),
    }[kind]
    const names = await find().catch(() => [])
    return [...new Set(names)].filter((name) => WORD.test(name)).toSorted()
  }
}

async function policies(server = DEFAULT_SERVER): Promise<string[]> {
  using client = new ApiClient(server)
  const list = await client.call(FineGuidanceSensors.method.listTracingPolicies, {}, ANSWER_MS)
  return list.policies.map(({ name }) => name)
}

async function library(): Promise<string[]> {
  const found = await libraryPolicies()
  return found.flatMap(({ name, bundles }) => [name, ...bundles]).map((name) => LIBRARY + name)
}

async function exporters(file: string | undefined, terminal: Pick<Terminal, 'env'>): Promise<string[]> {
  const given = readArguments(file === undefined ? [] : ['--config', file], SHARED_OPTIONS)
  const { config } = await readConfig(given, { ...terminal, printError: () => {} })
  return Object.keys(config.exporters)
}

/** The value of an option in a command line that may be incomplete. */
function valueOf(option: string, words: readonly string[]): string | undefined {
  const at = words.indexOf(`--${option}`)
  const inline = words.find((word) => word.startsWith(`--${option}=`))
  return at >= 0 && at < words.length - 2 ? words[at + 1] : inline?.slice(option.length + 3)
}
