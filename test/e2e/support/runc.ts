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

/** What a runtime is given: a folder with config.json and a root that holds busybox, also as sh and vi. */
function bundle(cgroupsPath: string, args: readonly string[], terminal: boolean): string {
  const at = freshFolder('bundle')
  for (const name of ['bin', 'etc', 'proc', 'dev', 'sys']) mkdirSync(join(at, 'rootfs', name), { recursive: true })
  copyFileSync(BUSYBOX, join(at, 'rootfs', BUSYBOX))
  for (const name of ['sh', 'vi']) linkSync(join(at, 'rootfs', BUSYBOX), join(at, 'rootfs/bin', name))
  writeFileSync(join(at, 'rootfs', SECRET), 'x')
  writeFileSync(join(at, 'rootfs/etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n', { mode: 0o644 })
  execFileSync('runc', ['spec'], { cwd: at })
  const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8'))
  config.process.terminal = terminal
  config.process.args = args
  // Debian's busybox would run its own vi as /proc/self/exe.
  writeFileSync(join(at, 'rootfs/rc'), 'alias vi=/bin/vi\n')
  config.process.env.push('ENV=/rc')
  config.root.readonly = false
  config.linux.cgroupsPath = cgroupsPath
  writeFileSync(join(at, 'config.json'), JSON.stringify(config))
  return at
}

/** Runs a container to its end: a shell, whose child reads SECRET, and which ends with 3. `runtime`: runc or crun. */
export async function runContainer(runtime: string, id: string, cgroupsPath: string): Promise<void> {
  // The shell waits for its child, so that each is a process of its own.
  const cwd = bundle(cgroupsPath, [BUSYBOX, 'sh', '-c', `${BUSYBOX} cat ${SECRET}; exit 3`], false)
  // They keep their state below /run.
  const child = spawn(runtime, ['run', id], { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await once(child, 'close')
  assert.equal(child.exitCode, 3, stderr)
}

export interface Shell {
  /** What the terminal has shown. */
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
