/** `ktrail policy show`. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { inLibrary } from '../../../config/base/paths.ts'
import { libraryFiles, libraryHint } from '../../../config/policy/sources/library.ts'
import { ClientError } from '../../api/client.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataText } from '../format.ts'
import { clientOf } from '../server.ts'
import { dataOf } from './list.ts'
import { listed, theOne } from './named.ts'

export const showCommand: Command = async (given, { print }) => {
  const [name, extra] = given.positionals
  if (name === undefined || extra !== undefined) throw new UsageError('expected one name, of a policy or library:NAME')
  const format = given.text('format') ?? 'yaml'
  if (inLibrary(name)) {
    const files = await libraryFiles(name).catch((error: unknown) => {
      throw new UsageError(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    })
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
    const values = texts.map((text): unknown => parse(text))
    const data = format === 'json' ? await dataText(format, values) : undefined
    // YAML as it is, with its comments.
    await print(data ?? texts.join('---\n'))
    return 0
  }
  using client = await clientOf(given)
  const policies = await listed(client, given).catch(async (error: unknown) => {
    const meant = error instanceof ClientError && error.noAgent ? await libraryHint(name) : ''
    throw meant === '' ? error : new UsageError(`${String(Object(error).message)}${meant}`)
  })
  const hint = policies.some((each) => each.name === name) ? '' : await libraryHint(name)
  if (hint !== '') throw new UsageError(`the agent has no policy "${name}"${hint}`)
  await print((await dataText(format, dataOf(theOne(name, policies, given)))) ?? '')
  return 0
}
