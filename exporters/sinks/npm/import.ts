/** Imports the packages that a config names. */
import { constants, runInThisContext } from 'node:vm'
import { findPackage, missingPackage } from '../../../config/agent/packages.ts'
import { ExportError, errnoOf, textOf } from '../../contract/errors.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import { attempt } from './attempt.ts'

/**
 * Rejects with ExportError: UNUSABLE if the package is not installed or cannot be loaded, TIMEOUT if that takes too long. `what`
 * is the start of the message.
 */
export async function importPackage(
  what: string,
  name: string,
  configFile: string | undefined,
  clock: Clock = systemClock,
): Promise<object> {
  const from = findPackage(name, configFile)
  if (from === undefined) throw new ExportError('UNUSABLE', `${what}: ${missingPackage(name, configFile)}`)
  return attempt(what, 'load', () => importFrom(from, name), clock)
}

/** `import(name)` as in a module at the path `from`, with Node's rules for package exports. */
async function importFrom(from: string, name: string): Promise<object> {
  const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  const load: unknown = runInThisContext('(name) => import(name)', { filename: from, importModuleDynamically })
  try {
    return await (load as (specifier: string) => Promise<object>)(name)
  } catch (cause) {
    if (errnoOf(cause) !== 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING') throw cause
    const hint = 'a package in node_modules must contain JavaScript, or be installed as a link (npm install ./folder)'
    throw new Error(`${textOf(cause)}; ${hint}`, { cause })
  }
}
