/** The C programs of the kernel bench, compiled when it runs, the protocol with the reading program, and a policy for it. */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parsePolicy } from '../../../config/policy/parse.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { formatProblem } from '../../../config/yaml/problems.ts'

const GUEST = new URL('../guest/', import.meta.url)
const source = (name: string): string => fileURLToPath(new URL(name, GUEST))

/** Called by each read. */
export const SYMBOL = 'security_file_permission'

/** One hook, on folders. */
export const policyText = (returns: boolean, folders: readonly string[], name: string): string =>
  `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: ${name} }
spec:
  kprobes:
    - call: ${SYMBOL}
      syscall: false
      return: ${returns}
      args: [{ index: 0, type: file }, { index: 1, type: int }]
      ${returns ? 'returnArg: { index: 0, type: int }' : ''}
      selectors: [{ matchArgs: [{ index: 0, operator: Prefix, values: ${JSON.stringify(folders)} }] }]
`

export function policyOf(returns: boolean, folders: readonly string[] = ['/etc/'], name = 'bench'): Policy {
  const parsed = parsePolicy(policyText(returns, folders, name), `${name}.yaml`)
  if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.policy
}

/** Compiles empty.bpf.c; returns the object's path. */
export function compileEmpty(): string {
  const output = join(mkdtempSync(join(tmpdir(), 'ktrail-bench-')), 'empty.bpf.o')
  const include = process.arch === 'arm64' ? '/usr/include/aarch64-linux-gnu' : '/usr/include/x86_64-linux-gnu'
  const compilers = ['clang-16', 'clang-17', 'clang-18', 'clang-19', 'clang']
  for (const clang of compilers) {
    try {
      execFileSync(clang, ['-g', '-O2', '-target', 'bpf', `-I${include}`, '-c', source('empty.bpf.c'), '-o', output])
      return output
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
  throw new Error(`cannot compile empty.bpf.c: expected one of ${compilers.join(', ')}; run make build`)
}

/** Reads one byte of one of some files, repeatedly, in a process of its own. */
export class Reader implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #write: (line: string) => void

  /** Its path. */
  readonly program: string

  private constructor(
    program: string,
    child: ChildProcess,
    lines: AsyncIterator<string>,
    write: (line: string) => void,
  ) {
    this.program = program
    this.#child = child
    this.#lines = lines
    this.#write = write
  }

  /** Creates the folders, except /etc, which is the reader's own. The paths `udp` and `exec` are no files (pread.c). Needs root. */
  static async start(paths: readonly string[]): Promise<Reader> {
    const program = join(mkdtempSync(join(tmpdir(), 'ktrail-bench-')), 'pread')
    execFileSync('gcc', ['-O2', '-Wall', '-Werror', '-static', '-o', program, source('pread.c')])
    for (const path of paths) mkdirSync(dirname(path), { recursive: true })
    const child = spawn(program, [...paths], { stdio: ['pipe', 'pipe', 'inherit'] })
    const reader = new Reader(
      program,
      child,
      createInterface({ input: child.stdout })[Symbol.asyncIterator](),
      (line) => void child.stdin.write(line),
    )
    await reader.#line()
    return reader
  }

  /** ns per pread of `paths[file]`: the median of `batches` batches. */
  async measure(file: number, batches: number, calls: number): Promise<number> {
    this.#write(`${file} ${batches} ${calls}\n`)
    return Number(await this.#line())
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill()
    await ended
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('the reading program ended early: see its output above')
    return value
  }

  [Symbol.dispose](): void {
    this.#child.kill()
  }
}
