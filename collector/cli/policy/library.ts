/** `ktrail policy library`. */
import { libraryPolicies } from '../../../config/policy/sources/library.ts'
import type { LibraryPolicy } from '../../../config/policy/sources/library.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataText, table } from '../format.ts'

export const libraryCommand: Command = async (given, { print, printError, columns }) => {
  const [search = '', extra] = given.positionals
  if (extra !== undefined) throw new UsageError(`expected at most one word to search for, got "${extra}", too`)
  const bundle = given.text('bundle')
  const found = (await libraryPolicies())
    .filter(({ bundles }) => bundle === undefined || bundles.includes(bundle))
    .filter((policy) => matches(policy, search.toLowerCase()))
  const data = await dataText(given.text('format'), found)
  if (data !== undefined) await print(data)
  else if (found.length > 0) {
    await print(
      table(
        ['NAME', 'SEVERITY', 'BUNDLES'],
        found.map(({ name, severity, bundles, title }) => ({
          cells: [name, severity, bundles.join(' ')],
          notes: [title],
        })),
        [],
        columns,
      ),
    )
  }
  if (found.length > 0) return 0
  const where = bundle === undefined ? 'the library' : `the bundle "${bundle}"`
  printError(`no policy of ${where} matches "${search}"; ktrail policy library lists all`)
  return 1
}

function matches({ name, title, severity, bundles, mitre }: LibraryPolicy, search: string): boolean {
  return [name, title, severity, ...bundles, ...mitre].some((text) => text.toLowerCase().includes(search))
}
