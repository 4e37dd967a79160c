import { readdir } from 'node:fs/promises'
import { ConfigError } from '../yaml/errors.ts'
import { STDIN, readTextFile } from '../yaml/files.ts'
import type { TextResult } from '../yaml/files.ts'
import { loadConfig, problemAt } from './load.ts'
import { duplicateNames, libraryProblems, missingFiles, missingPolicies, unknownNames } from './named.ts'
import { packageProblems } from './packages.ts'
import type { ConfigResult, LoadedConfig } from './load.ts'
import { readDropIns } from './loading/drop-ins.ts'
import { readSecret } from './loading/substitute.ts'
import type { Environment } from './loading/substitute.ts'
import { errnoOf, whyUnreadable } from '../base/unreadable.ts'
import { policyFilesAt } from '../policy/sources/files.ts'
import { parsePolicy } from '../policy/parse.ts'
import type { Policy } from '../policy/policy.ts'
import type { Problem } from '../yaml/problems.ts'
import { show } from '../yaml/problems.ts'
import { configWarnings } from './warnings.ts'
import { writablePolicy } from './writable.ts'

/** `loadConfig` on a file and its drop-in files; an unreadable file, a missing package or policy of the library is a problem, too. Never throws. */
export async function parseConfigFile(file: string, env: Environment): Promise<ConfigResult> {
  const read = await readTextFile(file)
  return 'problems' in read ? read : loadWhole(read.text, file, env)
}

async function loadWhole(text: string, file: string, env: Environment): Promise<ConfigResult> {
  const dropIns = file === STDIN ? [] : await readDropIns(file)
  if ('problems' in dropIns) return dropIns
  const result = loadConfig(text, file, env, readSecret, dropIns)
  if ('problems' in result) return result
  const problems = [...packageProblems(result, file), ...(await libraryProblems(result, file))]
  return problems.length === 0 ? result : { problems }
}

export function configOrThrow(result: ConfigResult): LoadedConfig {
  if ('problems' in result) throw new ConfigError(result.problems)
  return result
}

/**
 * Whether a text is meant as a policy, not as a config: it has one of the keys of every Kubernetes object, and no exporters.
 * Looks at lines, so that it works for invalid YAML, too.
 */
export function looksLikePolicy(text: string): boolean {
  if (/^["']?exporters["']?[ \t]*:/m.test(text)) return false
  return /^(?:[{ \t]*["']?(?:apiVersion|kind)["']?[ \t]*:|["']?(?:metadata|spec)["']?[ \t]*:)/m.test(text)
}

/** Result of `ktrail check` for one file. */
export interface Checked {
  readonly problems: readonly Problem[]
  /** Settings that work but are risky. */
  readonly warnings: readonly Problem[]
  /** Notes that depend on the kernel of the host. */
  readonly notes: readonly Problem[]
  /** Present if the file is a policy without problems. */
  readonly policy?: Policy
  /** Present if the file is a config without problems. */
  readonly loaded?: LoadedConfig
}

/**
 * Every problem of one file, policy or config, without kernel or root. Problems of a config include missing policies, but not their content
 * (`checkPolicies`). Its warnings include files that other users can read or write and should not. Never throws.
 */
export async function checkFile(file: string, env: Environment): Promise<Checked> {
  return checkRead(await readTextFile(file), file, env)
}

/** `checkFile` of a text that was read already. */
export async function checkRead(read: TextResult, file: string, env: Environment): Promise<Checked> {
  if ('problems' in read) return { problems: read.problems, warnings: [], notes: [] }
  return looksLikePolicy(read.text) ? checkPolicyText(read.text, file) : checkConfigText(read.text, file, env)
}

async function checkPolicyText(text: string, file: string): Promise<Checked> {
  const result = parsePolicy(text, file)
  if ('problems' in result) return { problems: result.problems, warnings: [], notes: [] }
  return {
    problems: [],
    warnings: [...result.warnings, ...(file === STDIN ? [] : await writablePolicy(file))],
    notes: optionalCalls(result.policy),
    policy: result.policy,
  }
}

/** Checks the text of a config, which `file` need not have yet. Never throws. */
export async function checkConfigText(text: string, file: string, env: Environment): Promise<Checked> {
  const result = await loadWhole(text, file, env)
  if ('problems' in result) return { problems: result.problems, warnings: [], notes: [] }
  const problems = await missingPolicies(result, file)
  const warnings = [...(await configWarnings(result, file)), ...(await missingFiles(result, file))]
  return { problems, warnings, notes: [], ...(problems.length === 0 ? { loaded: result } : {}) }
}

/** The policies of a config without problems, and the names in both. A folder that cannot be read is a problem of the config. Never throws. */
export async function checkPolicies(
  { loaded }: Checked,
  file: string,
): Promise<{ policies: CheckedPolicy[]; names: Checked }> {
  const found = new Map<string, CheckedPolicy>()
  const problems: Problem[] = []
  const empty: Problem[] = []
  let whole = true
  for (const [i, place] of loaded?.config.policies.entries() ?? []) {
    const files = await policyFilesAt(place).catch((error: unknown) => {
      whole = false
      if (loaded !== undefined && errnoOf(error) !== 'EACCES')
        problems.push(problemAt(loaded, file, ['policies', i], `cannot read ${show(place)}: ${whyUnreadable(error)}`))
    })
    if (loaded !== undefined && files?.length === 0) empty.push(...(await noPolicies(loaded, file, i)))
    for (const each of files ?? []) if (!found.has(each)) found.set(each, await checkPolicyFile(each))
  }
  const policies = [...found.values()]
  const parsed = policies.flatMap(({ policy }) => (policy === undefined ? [] : [policy]))
  problems.push(...duplicateNames(parsed))
  const warnings =
    loaded === undefined || !whole || parsed.length < policies.length ? [] : unknownNames(loaded, file, parsed)
  return { policies, names: { problems, warnings: [...empty, ...warnings], notes: [] } }
}

/** A folder without policies is a place for later ones, unless it is the only one or has other files. */
async function noPolicies(loaded: LoadedConfig, file: string, i: number): Promise<Problem[]> {
  const { policies, kubernetes } = loaded.config
  const place = policies[i] ?? ''
  const names = await readdir(place).catch(() => undefined)
  if (names === undefined || kubernetes?.policies === true || (names.length === 0 && policies.length > 1)) return []
  const message = `${show(place)} has no *.yaml or *.yml file, and so no policy: add one; subfolders are not read`
  return [problemAt(loaded, file, ['policies', i], message)]
}

type CheckedPolicy = Checked & { readonly file: string }

async function checkPolicyFile(file: string): Promise<CheckedPolicy> {
  const read = await readTextFile(file)
  if ('problems' in read) return { file, problems: read.problems, warnings: [], notes: [] }
  return { file, ...(await checkPolicyText(read.text, file)) }
}

/** Calls of a group are left out, because the policy declares its needs. */
function optionalCalls({ file, hooks, groups }: Policy): Problem[] {
  const required = hooks.some(({ optional }) => !optional)
  const otherwise = required
    ? 'skipped, and the others are attached'
    : 'skipped; the policy has no hook if none of its calls exists'
  return hooks.flatMap(({ call, optional, at }) =>
    optional && !groups.some(({ calls }) => calls.includes(call))
      ? [{ file, ...at, message: `call ${show(call)} is optional: if a kernel lacks it, it is ${otherwise}` }]
      : [],
  )
}
