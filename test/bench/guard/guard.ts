/**
 * Instruction counts decide: compares build/bench/NAME.json of the benches with instructions.json, and fails if a row is more than 3 % worse.
 * Where a version differs, the rows do not hold: then the commit that last changed them is built and measured here, and is the comparison.
 *
 *   node test/bench/guard/guard.ts NAME...             after make bench ONLY=instructions, which does this
 *   node test/bench/guard/guard.ts --renew NAME...     writes the rows into instructions.json
 *   BASE=REV      compares with this commit, measured here
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Result } from '../support/result.ts'
import { built, commitOf, git } from './built.ts'
import { compare, differing } from './rows.ts'
import type { Rows } from './rows.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const FILE = 'test/bench/guard/instructions.json'
const renewal = (name: string): string => `run node test/bench/guard/guard.ts --renew ${name}`

/** First number with dots in what a shell's command prints. */
const versionOf = (command: string): string =>
  /\d+(\.\d+)+/.exec(execFileSync('sh', ['-c', command], { encoding: 'utf8' }))?.[0] ?? 'unknown'
/** The compiler of bpf/Makefile. */
const CLANG = '"$(command -v clang-16 clang-17 clang-18 clang-19 clang | head -n 1)" --version'

export const rowsFile = (): Readonly<Record<string, Rows>> =>
  JSON.parse(readFileSync(join(ROOT, FILE), 'utf8')) as Record<string, Rows>

/** Rows of the last run in a checkout. */
function measured(root: string, name: string, warns: Rows['warns']): Rows {
  const { kernel, node, measures } = JSON.parse(
    readFileSync(join(root, 'build/bench', `${name}.json`), 'utf8'),
  ) as Result
  const versions = { kernel, node, QEMU: versionOf('qemu-system-x86_64 --version'), clang: versionOf(CLANG) }
  // JSON has null for a figure that is no number: then the row is missing.
  const counted = measures.filter(({ value, unit }) => Number.isFinite(value) && unit.startsWith('instructions'))
  const rows = Object.fromEntries(counted.map(({ name: row, value }) => [row, Math.round(value)]))
  return { versions, ...(warns === undefined ? {} : { warns }), rows }
}

/** Rows of the commit that last changed the file, or of BASE, measured now. */
function measuredAtBase(name: string, warns: Rows['warns']): Rows {
  const commit = commitOf(process.env['BASE'] ?? git('log', '-1', '--format=%H', '--', FILE))
  const folder = built(commit)
  console.log(`${name}: measuring ${commit.slice(0, 8)} for comparison`)
  const env = { ...process.env, ONLY: name, KTRAIL_BENCH_BASE: 'yes' }
  execFileSync(join(folder, 'test/bench/run.sh'), { env, stdio: ['ignore', 'ignore', 'inherit'] })
  return measured(folder, name, warns)
}

/** Whether no row of the bench is worse. */
function guards(name: string): boolean {
  const file = rowsFile()[name]
  if (file === undefined) throw new Error(`${FILE}: expected rows of ${name}, got none: ${renewal(name)}`)
  const is = measured(ROOT, name, file.warns)
  const changed = differing(file, is)
  if (changed.length > 0) console.log(`${name}: ${FILE} holds for other versions: ${changed.join(', ')}`)
  const holds = changed.length === 0 && process.env['BASE'] === undefined
  const { failures, warnings, hints } = compare(holds ? file : measuredAtBase(name, file.warns), is)
  for (const hint of hints) console.log(`${name}: ${hint}`)
  if (hints.length > 0) console.log(`${name}: to keep these rows, ${renewal(name)}`)
  for (const warning of warnings) console.log(`${name}: warning: ${warning}`)
  for (const failure of failures) console.error(`${name}: ${failure}`)
  if (failures.length > 0)
    console.error(`${name}: repair it, or ${renewal(name)}, and give the reason in the body of the commit`)
  else console.log(`${name}: ${Object.keys(is.rows).length} rows, no failure`)
  return failures.length === 0
}

if (import.meta.main) {
  try {
    const renew = process.argv[2] === '--renew'
    const names = process.argv.slice(renew ? 3 : 2)
    if (renew) {
      const file = rowsFile()
      const fresh = names.map((name) => [name, measured(ROOT, name, file[name]?.warns)] as const)
      writeFileSync(join(ROOT, FILE), `${JSON.stringify({ ...file, ...Object.fromEntries(fresh) }, null, 2)}\n`)
      execFileSync(join(ROOT, 'node_modules/.bin/oxfmt'), [join(ROOT, FILE)])
    } else {
      // All of them, so that one run reports every row.
      process.exitCode = names.map(guards).every(Boolean) ? 0 : 1
    }
  } catch (error) {
    console.error(`guard.ts: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
