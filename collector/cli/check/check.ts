import { resolve } from 'node:path'
import { checkFile, checkPolicies, checkRead } from '../../../config/agent/check.ts'
import type { Checked } from '../../../config/agent/check.ts'
import { namedFiles } from '../../../config/policy/sources/files.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { STDIN, readTextInput } from '../../../config/yaml/files.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { linesOf } from './lines.ts'
import { linkWarnings } from './links.ts'
import { withFiles } from './usable.ts'
import { plural } from '../../../config/base/counts.ts'

/** `ktrail check`. */
export const checkCommand: Command = async (given, terminal) => {
  const { env, print, printError } = terminal
  const { positionals } = given
  if (given.flag('kernel') && given.flag('probe')) throw new UsageError('expected either --kernel or --probe, got both')
  const format = given.text('format') ?? 'text'
  if (format !== 'text' && (given.flag('kernel') || given.flag('probe')))
    throw new UsageError(`-o ${format} applies only to files`)
  const strict = given.flag('strict')
  if (strict && (given.flag('kernel') || given.flag('probe'))) throw new UsageError('--strict applies only to files')
  // Loaded when needed: only these need the addon and the exporters.
  if (given.flag('kernel')) return (await import('./kernel.ts')).checkKernel(given, terminal)
  if (given.flag('probe')) return (await import('./probe.ts')).checkProbe(given, terminal)
  if (given.text('config') !== undefined)
    throw new UsageError('check --config requires --kernel or --probe; to check a config, run: check FILE')
  if (positionals.length === 0) throw new UsageError('check requires at least one file or folder, --kernel or --probe')
  const shown = new Set<string>()
  let wrong = 0
  const show = async (file: string, checked: Checked): Promise<void> => {
    // A config may name a file that is also an argument.
    if (shown.has(resolve(file))) return
    shown.add(resolve(file))
    if (await put(checked)) wrong++
  }
  /** Prints the lines of a file; true if it has mistakes, or warnings that count as such. */
  const put = async (checked: Checked): Promise<boolean> => {
    const whole = await withKernel(checked)
    const lines = linesOf(whole, format)
    if (lines !== '') await print(lines)
    return whole.problems.length > 0 || (strict && whole.warnings.length > 0)
  }
  for (const place of positionals) {
    const found = place === STDIN ? [STDIN] : await namedFiles(place)
    if (found instanceof Error) {
      await show(place, wrongFolder(place, found.message))
      continue
    }
    if (found.length === 0) await show(place, wrongFolder(place, EMPTY))
    for (const file of found) {
      const read =
        file === STDIN ? await checkRead(await readTextInput(process.stdin), file, env) : await checkFile(file, env)
      const checked = await withFiles(read, file, env)
      await show(file, checked)
      const { policies, names } = await checkPolicies(checked, file)
      for (const each of policies) await show(each.file, each)
      if (await put(names)) wrong++
    }
  }
  const files = plural(shown.size, 'file')
  printError(
    wrong === 0 ? `${files} checked, no mistakes` : `${wrong} of ${files} with mistakes${strict ? ' or warnings' : ''}`,
  )
  return wrong === 0 ? 0 : EXIT_CONFIG
}

/** With warnings about the functions of a policy, if this machine has type information and an addon to read it. */
async function withKernel(checked: Checked): Promise<Checked> {
  const { policy, warnings } = checked
  if (policy === undefined) return checked
  const { functionWarnings } = await import('./functions.ts')
  const links = await linkWarnings(policy)
  // One sentence for one mistake: a name with a warning is not checked again.
  const warned = new Set(warnings.map(({ line }) => line))
  const more = (await functionWarnings(policy)).filter(({ line }) => !warned.has(line))
  return { ...checked, warnings: [...warnings, ...links, ...more] }
}

const EMPTY = 'the folder has no *.yaml or *.yml file; subfolders are not checked'

function wrongFolder(file: string, message: string): Checked {
  return { problems: [{ file, line: 0, col: 0, message }], warnings: [], notes: [] }
}
