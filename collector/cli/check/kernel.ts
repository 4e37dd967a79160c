/** `ktrail check --kernel`: features of this kernel, missing ones, and the configured policies that it cannot run. */
import { plural } from '../../../config/base/counts.ts'
import { policyFilesAt } from '../../../config/policy/sources/files.ts'
import { addFiles } from '../../../config/policy/sources/library.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { EXIT_CONFIG } from '../../../config/yaml/errors.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { hasBtf, kernelFunctions, kernelSymbols, perfEvents, realTime } from '../../../native/index.ts'
import { CollectorError } from '../../errors.ts'
import { kernelProblems, readLockdown } from '../../host/checks.ts'
import { readKernelFacts } from '../../kernel/read-facts.ts'
import type { KernelFacts } from '../../plan/facts.ts'
import { kernelFindings } from '../../plan/features.ts'
import type { Finding } from '../../plan/features.ts'
import { planPolicy } from '../../plan/plan.ts'
import type { Plan } from '../../plan/plan.ts'
import { isPerfEvent } from '../../kernel/programs/gate.ts'
import { symbolsOf } from '../../kernel/symbols.ts'
import { UsageError } from '../command.ts'
import type { Arguments, Terminal } from '../command.ts'
import { readConfig } from '../config-file.ts'
import { folded } from '../format.ts'
import { perfEventsFinding, policyRefused, readPerfEvents } from './rights.ts'
import type { PerfEvents } from './rights.ts'

/** Prints the report; resolves to 0 if ktrail and every configured policy can run here, else to 78. */
export async function checkKernel(args: Arguments, terminal: Terminal): Promise<number> {
  const [extra] = args.positionals
  if (extra !== undefined) throw new UsageError(`check --kernel takes no file, got "${extra}": use --config FILE`)
  const { config } = await readConfig(args, terminal)
  const isRoot = process.geteuid?.() === 0
  const btf = hasBtf()
  const facts = await readKernelFacts(kernelSymbols, btf ? kernelFunctions : () => Promise.resolve(new Map()), realTime)
  const rights = await readPerfEvents(isRoot, perfEvents)
  const needed = facts.security && !facts.fprobe
  const problems = kernelProblems(() => btf).map(({ message }): Finding => ({ state: 'missing', text: message }))
  const findings = [
    ...problems,
    ...lockdownFindings(readLockdown()),
    ...kernelFindings(facts, isRoot),
    perfEventsFinding(rights, needed),
    ...(btf ? await policyFindings(config, facts, symbolsOf, rights) : []),
  ]
  const lines = findings.map(({ state, text }) => `${state.padEnd(8)} ${text}\n`)
  await terminal.print(folded(`kernel ${facts.release}, ${facts.arch}\n${lines.join('')}`, terminal.columns))
  const count = (...states: string[]): number => findings.filter(({ state }) => states.includes(state)).length
  const wrong = count('missing', 'refused')
  terminal.printError(
    problems.length > 0 || (needed && rights.state === 'refused')
      ? `this kernel cannot run ktrail${problems.length > 0 ? '' : ` with the rights of ${rights.holder}`}`
      : `this kernel can run ktrail: replaced: ${plural(count('without'), 'missing feature')}; unknown: ${plural(count('unknown'), 'feature')}; refused or without a required function: ${plural(wrong, 'policy')}`,
  )
  return wrong === 0 ? 0 : EXIT_CONFIG
}

/** `confidentiality` is one of the problems. */
function lockdownFindings(lockdown: string | undefined): Finding[] {
  if (lockdown === 'confidentiality') return []
  return lockdown === undefined
    ? [{ state: 'unknown', text: 'lockdown: expected it in /sys/kernel/security/lockdown' }]
    : [{ state: 'ok', text: `lockdown: ${lockdown}` }]
}

/** One finding for each policy file, and one for each skipped call and each missing group. Never throws for a bad file. */
export async function policyFindings(
  config: Pick<Config, 'policies' | 'attach'>,
  facts: KernelFacts,
  symbols: typeof symbolsOf,
  rights: PerfEvents,
): Promise<Finding[]> {
  const planned: Planned = async (policy) =>
    planPolicy(policy, facts, await symbols([policy], facts), config.attach.mode, () => 1)
  const findings: Finding[] = []
  const files = new Map<string, boolean>()
  for (const path of config.policies) {
    const found = await policyFilesAt(path).catch((error: unknown) => {
      const message = `cannot read: ${error instanceof Error ? error.message : String(error)}`
      findings.push(...refused([formatProblem({ file: path, line: 0, col: 0, message })]))
      return []
    })
    addFiles(files, path, found)
  }
  for (const [file, optional] of files) {
    const own = await fileFindings(file, planned, rights)
    findings.push(...(optional ? own.map(leftOut) : own))
  }
  return findings
}

const leftOut = (finding: Finding): Finding =>
  finding.state === 'refused'
    ? { state: 'without', text: `${finding.text}; the policy is left out of its bundle` }
    : finding

const refused = (texts: readonly string[]): Finding[] => texts.map((text) => ({ state: 'refused', text }))

type Planned = (policy: Policy) => Promise<Plan>

async function fileFindings(file: string, planned: Planned, rights: PerfEvents): Promise<Finding[]> {
  const read = await readTextFile(file)
  if ('problems' in read) return refused(read.problems.map(formatProblem))
  const parsed = parsePolicy(read.text, file)
  if ('problems' in parsed) return refused(parsed.problems.map(formatProblem))
  const { policy } = parsed
  try {
    const { hooks, skipped, lacking, limited } = await planned(policy)
    const modes = new Set(hooks.map(({ way }) => way.mode))
    if (rights.state === 'refused' && hooks.some(({ way }) => isPerfEvent(way)))
      return [policyRefused(policy.name, rights)]
    return [
      {
        state: 'ok',
        text: `policy ${policy.name}: hooks ${plural(hooks.length, 'function')} (${[...modes].join(', ')})`,
      },
      ...skipped.map(({ message }): Finding => ({ state: 'without', text: `${message}; the call is skipped` })),
      ...limited.map((message): Finding => ({ state: 'without', text: `policy ${policy.name}: ${message}` })),
      ...lacking.map((message): Finding => ({ state: 'missing', text: `policy ${policy.name}: ${message}` })),
    ]
  } catch (error) {
    if (!(error instanceof CollectorError)) throw error
    return refused([error.message])
  }
}
