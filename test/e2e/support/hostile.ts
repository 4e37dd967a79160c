/** Attack programs of test/fixtures/hostile, run as an unprivileged user. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freshFolder, hostFolder } from './agent.ts'
import { until } from './wait.ts'
import { makeProgram } from '../../support/programs.ts'

/** The user `nobody`. */
export const UID = 65_534

const built = new Map<string, string>()

/** Compiles `NAME.c`, once a run, into a folder where every user may run it. */
export function hostileBinary(name: string): string {
  const known = built.get(name)
  if (known !== undefined) return known
  const path = join(opened(hostFolder('hostile')), name)
  makeProgram(`hostile/${name}`, path)
  built.set(name, path)
  return path
}

/** Gives every user access to a folder of freshFolder. */
export function opened(folder: string): string {
  for (let at = folder; existsSync(at) && at.includes('ktrail-'); at = dirname(at)) chmodSync(at, 0o755)
  return folder
}

/** A running sleepers.c. */
export class Sleepers implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>

  /** Resolves when all `count` of them sleep, each after a read of `file`. */
  static async start(count: number, file = '-', argument = ''): Promise<Sleepers> {
    const sleepers = new Sleepers([String(count), file, ...(argument === '' ? [] : [argument])])
    await sleepers.#reported()
    return sleepers
  }

  private constructor(args: readonly string[]) {
    const options = { uid: UID, gid: UID, stdio: ['pipe', 'pipe', 'inherit'] as const }
    this.#child = spawn(hostileBinary('sleepers'), args, { ...options, stdio: [...options.stdio] })
    this.#ended = once(this.#child, 'exit')
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async #reported(): Promise<void> {
    const { stdout } = this.#child
    if (stdout === null) return
    const ended = this.#ended.then(() => {
      throw new Error('sleepers ended: see its message above')
    })
    await Promise.race([once(stdout, 'data'), ended])
  }

  /** Kills the first half of them. */
  async killHalf(): Promise<void> {
    this.#child.stdin?.write('x')
    await this.#reported()
  }

  /** Kills them all. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end()
    await this.#ended
  }
}

/** Starts a process of another user with a locked memory map, as the leader of its group. Waits until a read of its arguments hangs. */
export async function lockedMap(): Promise<ChildProcess & { readonly pid: number }> {
  const mount = join(opened(freshFolder('locked')), 'mount')
  mkdirSync(mount)
  // As udev does.
  chmodSync('/dev/fuse', 0o666)
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups']
  const child = spawn('setpriv', [...user, hostileBinary('locked-map'), mount, '/dev/fuse'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const { pid = 0 } = child
  const hangs = (): boolean =>
    spawnSync('cat', [`/proc/${pid}/cmdline`], { timeout: 1_000, killSignal: 'SIGKILL' }).signal === 'SIGKILL'
  await until('a read of its arguments to hang', hangs)
  return Object.assign(child, { pid })
}
