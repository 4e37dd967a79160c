/** The workload: test/fixtures/e2e/act.c, compiled once a boot, and scripts for it. */
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freshFolder } from './agent.ts'
import { makeProgram } from '../../support/programs.ts'

const BUILT = join(process.env['KTRAIL_TMP'] ?? tmpdir(), 'ktrail-act')
const STARTED_MS = 120_000

/** One line of a script: the verb and its words; see act.c. A Buffer stands for a path that is no UTF-8. */
export function line(verb: string, ...words: ReadonlyArray<string | Buffer | number>): string {
  const encoded = words.map((word) =>
    [...Buffer.from(typeof word === 'number' ? String(word) : word)]
      .map((byte) =>
        /[\w/.+-]/.test(String.fromCharCode(byte)) && byte < 0x80
          ? String.fromCharCode(byte)
          : `%${byte.toString(16).padStart(2, '0')}`,
      )
      .join(''),
  )
  return [verb, ...encoded].join(' ')
}

/** The compiled program; a copy under another name if a test distinguishes processes by their name. */
export function actBinary(as?: string): string {
  if (!existsSync(BUILT)) {
    makeProgram('e2e/act', `${BUILT}.new`)
    renameSync(`${BUILT}.new`, BUILT)
  }
  if (as === undefined) return BUILT
  copyFileSync(BUILT, as)
  return as
}

export interface ActEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly pid: number
  /** The script's path: the process's only argument. */
  readonly script: string
}

export interface Acting {
  readonly pid: number
  readonly script: string
  /** Feeds one `wait` of the script. */
  go(): void
  readonly ended: Promise<ActEnd>
}

/** Writes a script and returns its path. */
export function scriptFile(lines: readonly string[]): string {
  const script = join(freshFolder('script'), 's')
  writeFileSync(script, `${lines.join('\n')}\n`)
  return script
}

/** Starts a script in the background. */
export function startAct(
  lines: readonly string[],
  options: { readonly binary?: string; readonly cwd?: string } = {},
): Acting {
  const script = scriptFile(lines)
  const binary = options.binary ?? actBinary()
  const child = spawn(binary, [script], {
    stdio: ['pipe', 'ignore', 'inherit'],
    timeout: STARTED_MS,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const pid = child.pid ?? 0
  const ended = new Promise<ActEnd>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, pid, script }))
  })
  return { pid, script, ended, go: () => void child.stdin.write('x') }
}

/** Runs a script; throws if one of its lines failed (its message is on stderr) or its exit code is not 0. */
export async function runAct(
  lines: readonly string[],
  options: { readonly binary?: string; readonly cwd?: string } = {},
): Promise<ActEnd> {
  const end = await startAct(lines, options).ended
  if (end.code !== 0) throw new Error(`act ended with ${end.code ?? end.signal}, see its message above`)
  return end
}

/** Compiles deny.bpf.c (writes of processes named "denied" are refused) and pins it; returns the pin for `module`. */
export function pinnedDenial(): string {
  const object = join(freshFolder('deny'), 'deny.o')
  const pin = '/sys/fs/bpf/ktrail-test-deny'
  if (existsSync(pin)) return pin
  const include = process.arch === 'arm64' ? '/usr/include/aarch64-linux-gnu' : '/usr/include/x86_64-linux-gnu'
  const source = fileURLToPath(new URL('../../fixtures/e2e/deny.bpf.c', import.meta.url))
  execFileSync('clang-16', ['-g', '-O2', '-target', 'bpf', `-I${include}`, '-c', source, '-o', object])
  execFileSync('bpftool', ['prog', 'load', object, pin])
  return pin
}
