/** Files of a config that its agent could not use at the start: the agent's own checks of them. */
import type { Checked } from '../../../config/agent/check.ts'
import { problemAt } from '../../../config/agent/load.ts'
import { pathKey, pathText } from '../../../config/agent/loading/explain.ts'
import type { Environment } from '../../../config/agent/loading/substitute.ts'
import { errnoOf } from '../../../config/base/unreadable.ts'
import type { Problem } from '../../../config/yaml/problems.ts'

/** The agent may have other rights, and more room. */
const ALLOWED: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT']

/** Adds a problem for each file; a missing one is a warning, because the config may be for another host. */
export async function withFiles(checked: Checked, file: string, env: Environment): Promise<Checked> {
  const { loaded } = checked
  if (loaded === undefined) return checked
  const { unusableFiles } = await import('../../../exporters/index.ts')
  const problems = [...checked.problems]
  let warnings: readonly Problem[] = checked.warnings
  for (const { path, error } of await unusableFiles(loaded.config, env)) {
    const errno = errnoOf(error.cause)
    const isTls = path.at(-1) === 'tls'
    // Missing certificates have a warning already.
    if (ALLOWED.includes(errno) || (isTls && errno === 'ENOENT')) continue
    const [, key = 'cert_file', message = error.message] = (isTls && /^tls\.?(\w+)?: (.*)$/s.exec(error.message)) || []
    const keys = isTls ? [key, 'key_file'].map((each) => [...path, each]) : [path]
    const at = keys.find((each) => loaded.origins.has(pathKey(each))) ?? path
    const found = problemAt(loaded, file, at, message)
    if (errno === 'ENOENT') warnings = [...warnings, found]
    else problems.push(found)
    // A secret in a file that is wrong is none.
    if (isTls) warnings = warnings.filter((each) => !each.message.startsWith(`${pathText(path)}.`))
  }
  return { ...checked, problems, warnings }
}
