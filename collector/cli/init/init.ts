import { randomUUID } from 'node:crypto'
import { link, lstat, rename, rm, writeFile } from 'node:fs/promises'
import { isatty } from 'node:tty'
import { checkConfigText } from '../../../config/agent/check.ts'
import { LIBRARY } from '../../../config/base/paths.ts'
import { libraryPolicies } from '../../../config/policy/sources/library.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { errnoOf } from '../../../config/base/unreadable.ts'
import { linesOf } from '../check/lines.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Command } from '../command.ts'
import { askFor, pathOf, policiesOf } from './questions.ts'
import { configText } from './text.ts'
import type { FirstConfig } from './text.ts'

const POLICIES = `${LIBRARY}default`
const ANSWERS = ['file', 'otlp', 'loki', 'kafka', 'topic', 'policies'] as const

/** `ktrail init`: writes a first config, from options or from answers on a terminal. */
export const initCommand: Command = async (given, terminal) => {
  const { env, print, printError } = terminal
  const output = given.text('output') ?? 'ktrail.yaml'
  const force = given.flag('force')
  if (output !== '-' && !force && (await isThere(output))) throw existing(output)
  const name = output === '-' ? 'ktrail.yaml' : oneLine(output)
  const problemsOf = async (wanted: FirstConfig): Promise<string> => {
    const { problems } = await checkConfigText(configText(wanted, name), name, env)
    return linesOf({ problems, warnings: [], notes: [] })
  }
  const isAsked = ANSWERS.every((option) => given.text(option) === undefined)
  const wanted = isAsked ? await asked(problemsOf) : wantedOf(given)
  if (wanted === undefined) {
    printError('ktrail: the input ended; no config was written')
    return 1
  }
  const problems = await problemsOf(wanted)
  if (problems !== '') {
    await print(problems)
    printError('ktrail: no config was written, because it would have these mistakes')
    return EXIT_CONFIG
  }
  const text = configText(wanted, name)
  if (output === '-') {
    await print(text)
    return 0
  }
  await writeNew(output, text, force)
  const check = `ktrail check --probe ${output}`
  const run = `sudo ktrail run --config ${output}`
  if (!isAsked) {
    for (const line of [`${output} is written; next:`, `  ${check}`, `  ${run}`]) printError(line)
    return 0
  }
  // Scripts may write a config before its sinks exist.
  printError(`${output} is written; its sinks:`)
  const { probeConfig } = await import('../check/probe.ts')
  const code = await probeConfig(output, terminal)
  const next = code === 0 ? [`next: ${run}`] : ['next, until all are ok:', `  ${check}`, 'then:', `  ${run}`]
  for (const line of next) printError(line)
  return 0
}

async function asked(problemsOf: (wanted: FirstConfig) => Promise<string>): Promise<FirstConfig | undefined> {
  const bundles = new Set((await libraryPolicies()).flatMap((policy) => policy.bundles))
  if (isatty(0) && isatty(2)) return askFor(POLICIES, [...bundles].toSorted(), problemsOf)
  throw new UsageError('without a terminal, init requires one or more of --file, --otlp, --loki, --kafka, --policies')
}

function wantedOf(given: Arguments): FirstConfig {
  const [kafka, topic] = [given.text('kafka'), given.text('topic')]
  if (topic !== undefined && kafka === undefined) throw new UsageError('--topic requires --kafka')
  return {
    policies: policiesOf(given.text('policies') ?? POLICIES),
    file: pathOf(given.text('file')),
    otlp: given.text('otlp'),
    loki: given.text('loki'),
    kafka,
    topic,
  }
}

/** Writes a file for its owner. A reader finds the old file or the whole new one. Rejects with an Error that has a code. */
export async function writeNew(output: string, text: string, force: boolean): Promise<void> {
  const made = `${output}.${randomUUID()}.new`
  try {
    // The config may hold addresses with secrets.
    await writeFile(made, text, { mode: 0o600, flag: 'wx', flush: true })
    // Unlike a rename, a link never replaces a file.
    if (force) await rename(made, output)
    else await link(made, output)
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'EEXIST') throw existing(output)
    const why = error instanceof Error ? error.message : String(error)
    throw Object.assign(new Error(`cannot write ${JSON.stringify(output)}: ${why}`, { cause: error }), { code })
  } finally {
    await rm(made, { force: true })
  }
}

function existing(output: string): Error {
  const message = `${JSON.stringify(output)} already exists: give --output another name, or --force to replace it`
  return Object.assign(new Error(message), { code: 'EEXIST' })
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}
