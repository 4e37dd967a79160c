/** `ktrail policy show`. */
import { readFile } from 'node:fs/promises'
import { parse, stringify } from 'yaml'
import { inLibrary } from '../../../config/base/paths.ts'
import { libraryFiles, libraryHint } from '../../../config/policy/sources/library.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { clientOf } from '../server.ts'
import { jsonOf } from './list.ts'
import { listed, theOne } from './named.ts'

export const showCommand: Command = async (given, { print }) => {
  const [name, extra] = given.positionals
  if (name === undefined || extra !== undefined) throw new UsageError('expected one name, of a policy or library:NAME')
  const asJson = given.text('output') === 'json'
  if (inLibrary(name)) {
    const files = await libraryFiles(name).catch((error: unknown) => {
      throw new UsageError(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    })
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
    await print(asJson ? jsonText(texts.map((text): unknown => parse(text))) : texts.join('---\n'))
    return 0
  }
  using client = await clientOf(given)
  const policies = await listed(client, given)
  const hint = policies.some((each) => each.name === name) ? '' : await libraryHint(name)
  if (hint !== '') throw new UsageError(`the agent has no policy "${name}"${hint}`)
  const policy = jsonOf(theOne(name, policies, given))
  await print(asJson ? jsonText(policy) : stringify(policy, { lineWidth: 0 }))
  return 0
}

const jsonText = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`
