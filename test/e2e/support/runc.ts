/** Containers of a real runtime. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from './agent.ts'

export const BUSYBOX = '/bin/busybox'
/** Inside of a container. */
export const SECRET = '/etc/secret'

let made = 0
/** Records have the first 31 characters. */
export const freshId = (): string => `${made++}a`.padEnd(64, '0123456789abcdef')

/** Command of the containers: a shell whose child reads SECRET. It waits for its child, so that each is a process of its own, and ends with ENDED. */
export const READS_SECRET: readonly string[] = [BUSYBOX, 'sh', '-c', `${BUSYBOX} cat ${SECRET}; exit 3`]
export const ENDED = 3

/** A root of a container that holds busybox, also as sh and vi; its folder. */
export function containerRoot(at: string = freshFolder('root')): string {
  const root = join(at, 'rootfs')
  for (const name of ['bin', 'etc', 'proc', 'dev', 'sys']) mkdirSync(join(root, name), { recursive: true })
  copyFileSync(BUSYBOX, join(root, BUSYBOX))
  for (const name of ['sh', 'vi']) linkSync(join(root, BUSYBOX), join(root, 'bin', name))
  writeFileSync(join(root, SECRET), 'x')
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n', { mode: 0o644 })
  return root
}

/** Makes the bundle for a runtime: a folder with config.json and a root. */
function bundle(cgroupsPath: string, args: readonly string[], terminal: boolean): string {
  const at = freshFolder('bundle')
  const root = containerRoot(at)
  execFileSync('runc', ['spec'], { cwd: at })
  const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8'))
  config.process.terminal = terminal
  config.process.args = args
  // Debian's busybox would run its own vi as /proc/self/exe.
  writeFileSync(join(root, 'rc'), 'alias vi=/bin/vi\n')
  config.process.env.push('ENV=/rc')
  config.root.readonly = false
  config.linux.cgroupsPath = cgroupsPath
  writeFileSync(join(at, 'config.json'), JSON.stringify(config))
  return at
}

/** Runs a container of READS_SECRET to its end. `runtime`: runc or crun. */
export async function runContainer(runtime: string, id: string, cgroupsPath: string): Promise<void> {
  // They keep their state below /run.
  await endsAsContainer([runtime, 'run', id], bundle(cgroupsPath, READS_SECRET, false))
}

/** Runs a program that runs a container of READS_SECRET, and checks that the program ends as the container does. */
export async function endsAsContainer([program = '', ...words]: readonly string[], cwd: string): Promise<void> {
  const child = spawn(program, words, { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await once(child, 'close')
  assert.equal(child.exitCode, ENDED, stderr)
}

export interface Shell {
  /** The text on the terminal so far. */
  readonly shown: () => string
  /** As typed at the terminal. */
  type(keys: string): void
  /** Ends the terminal, and with it the container. */
  end(): void
  readonly ended: Promise<unknown>
}

/** An interactive shell in a container: `/bin/sh` on a terminal, which is script(1)'s. */
export function shellContainer(id: string, cgroupsPath: string): Shell {
  const cwd = bundle(cgroupsPath, ['/bin/sh'], true)
  const child = spawn('script', ['--quiet', '--return', '--command', `runc run ${id}`, '/dev/null'], { cwd })
  let shown = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (shown += chunk.toString('latin1')))
  return {
    shown: () => shown,
    type: (keys) => void child.stdin.write(keys),
    end: () => void child.kill('SIGKILL'),
    ended: once(child, 'close'),
  }
}
