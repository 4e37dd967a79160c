/**
 * The verifier's work on each program: compares build/verifier/KERNEL.json with programs.json, and fails if a program walks over 5 % more.
 *
 *   node test/verifier/guard.ts KERNEL...            after test/verifier/run.sh KERNEL...: make verifier does both
 *   node test/verifier/guard.ts --renew KERNEL...    writes them into programs.json, and the tables of docs/reference/verifier.md
 *
 * With another kernel or compiler than the file's the counts differ for no fault of ours: then nothing fails.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compare, tables } from './statistics.ts'
import type { OfKernel } from './statistics.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FILE = 'test/verifier/programs.json'
const PAGE = 'docs/reference/verifier.md'
export const MARK = '<!-- tables: made by test/verifier/guard.ts -->'

export interface File {
  readonly clang: string
  readonly kernels: Readonly<Record<string, OfKernel>>
}

export const written = (): File => JSON.parse(readFileSync(join(ROOT, FILE), 'utf8')) as File

/** The page with the tables of a file. */
export const withTables = (page: string, { kernels }: File): string =>
  `${page.slice(0, page.indexOf(MARK) + MARK.length)}\n\n${tables(kernels)}\n`

/** The compiler of bpf/Makefile. */
function clangVersion(): string {
  const command = '"$(command -v clang-16 clang-17 clang-18 clang-19 clang | head -n 1)" --version'
  return /\d+(\.\d+)+/.exec(execFileSync('sh', ['-c', command], { encoding: 'utf8' }))?.[0] ?? 'unknown'
}

const measured = (kernel: string): OfKernel =>
  JSON.parse(readFileSync(join(ROOT, 'build/verifier', `${kernel}.json`), 'utf8')) as OfKernel

function guards(kernel: string, file: File, clang: string): boolean {
  const was = file.kernels[kernel]
  const is = measured(kernel)
  if (was === undefined)
    throw new Error(`${FILE}: expected programs on ${kernel}, got none: run guard.ts --renew ${kernel}`)
  const { failures, hints } = compare(was.programs, is.programs)
  const holds = was.kernel === is.kernel && file.clang === clang
  if (!holds)
    console.log(
      `verifier: ${kernel}: ${FILE} holds for ${was.kernel}, clang ${file.clang}; got ${is.kernel}, clang ${clang}`,
    )
  for (const hint of hints) console.log(`verifier: ${kernel}: better or new: ${hint}`)
  for (const failure of failures) console.error(`verifier: ${kernel}: ${failure}`)
  console.log(
    `verifier: ${kernel}: ${is.programs.length} programs, ${failures.length} walk over 5 % more or are missing`,
  )
  if (failures.length > 0)
    console.error(
      `verifier: repair it, or run node test/verifier/guard.ts --renew ${kernel}, and give the reason in the commit`,
    )
  return failures.length === 0 || !holds
}

if (import.meta.main) {
  try {
    const renew = process.argv[2] === '--renew'
    const kernels = process.argv.slice(renew ? 3 : 2)
    const clang = clangVersion()
    if (renew) {
      const file = {
        clang,
        kernels: { ...written().kernels, ...Object.fromEntries(kernels.map((kernel) => [kernel, measured(kernel)])) },
      }
      writeFileSync(join(ROOT, FILE), `${JSON.stringify(file, null, 2)}\n`)
      const page = readFileSync(join(ROOT, PAGE), 'utf8')
      writeFileSync(join(ROOT, PAGE), withTables(page, file))
    } else {
      const file = written()
      process.exitCode = kernels.map((kernel) => guards(kernel, file, clang)).every(Boolean) ? 0 : 1
    }
  } catch (error) {
    console.error(`guard.ts: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
