/** A copy of a fresh Debian root (root.sh), to install packages into, and to run them from in a guest. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { GuestKernel } from './guest.ts'

export const ROOT: string = path.join(import.meta.dirname, '../../..')
/** Where a guest sees it too; guests have a /tmp of their own. */
export const SCRATCH: string = path.join(ROOT, 'build/packages-test')

const ENVIRONMENT = [
  'PATH=/opt/node/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'DEBIAN_FRONTEND=noninteractive',
  'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
]

/** Returns the output; errors go to ours. Throws for another exit code than 0. */
export function run(command: string, args: readonly string[], cwd: string = ROOT): string {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 << 20,
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${status}; it printed:\n${stdout}`)
  return stdout
}

/** Runs the agent that is installed in a Debian root, on a real kernel, while /etc/passwd is read there. Returns its events. */
export function eventsIn(kernel: GuestKernel, root: string, ...agent: readonly string[]): string {
  const inGuest = ['test/support/guest/installed.sh', root, ...agent]
  return run('test/support/guest/run.sh', [kernel, '--timeout', '300', '--', ...inGuest])
}

/** Removed when disposed. */
export class FreshRoot implements Disposable {
  readonly folder: string

  constructor(suite: 'bookworm' | 'trixie') {
    mkdirSync(SCRATCH, { recursive: true })
    this.folder = mkdtempSync(path.join(SCRATCH, `${suite}-`))
    const fresh = run('test/support/guest/root.sh', [suite]).trim()
    run('cp', ['-a', '--reflink=auto', `${fresh}/.`, this.folder])
    run('cp', ['-L', '/etc/resolv.conf', `${this.folder}/etc/resolv.conf`])
  }

  /** Copies files to its top, and returns their paths there. */
  add(files: readonly string[]): string[] {
    run('cp', [...files, this.folder])
    return files.map((file) => `/${path.basename(file)}`)
  }

  /** Runs a command in it on this machine, without a service manager. */
  run(...command: readonly string[]): string {
    // A mount namespace of its own: the folder can be removed afterwards.
    const enter = 'mount --bind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" env -i "$@"'
    return run('unshare', ['--mount', 'sh', '-c', enter, this.folder, ...ENVIRONMENT, ...command])
  }

  events(...agent: readonly string[]): string {
    return eventsIn('6.12', this.folder, ...agent)
  }

  /** Boots it on a real kernel, with its systemd as init, and runs a test file of the checkout there; prints the output of the test. */
  boot(kernel: GuestKernel, testFile: string): void {
    const command = ['node', '--disable-warning=ExperimentalWarning', '--test', '--test-reporter=spec', testFile]
    const guest = [kernel, '--cpus', '2', '--timeout', '1800', '--system', this.folder]
    const { status } = spawnSync('test/support/guest/run.sh', [...guest, '--', ...command], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    if (status !== 0) throw new Error(`${testFile} in a guest with the root ${this.folder}: exit code ${status}`)
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
