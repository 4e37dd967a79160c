/** A file system in the guest's memory on a block device that fails when a test requests it (device-mapper). Source: dmsetup(8). */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from '../../support/agent.ts'

const BYTES = 64 << 20
const SECTORS = BYTES / 512
const NAME = 'ktrail-failing'

// A guest has no udev: dmsetup makes the nodes of /dev/mapper itself.
const env = { ...process.env, DM_DISABLE_UDEV: '1' }
const run = (...[command = '', ...args]: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', env }).trim()

export class FailingDevice implements Disposable {
  /** Where it is mounted. */
  readonly path: string
  readonly #loop: string

  constructor() {
    const folder = freshFolder('device')
    const image = join(folder, 'image')
    this.path = join(folder, 'mounted')
    mkdirSync(this.path)
    writeFileSync(image, '')
    truncateSync(image, BYTES)
    const modprobe = readFileSync('/proc/sys/kernel/modprobe', 'utf8').trim()
    for (const module of ['loop', 'dm-mod']) run(modprobe, module)
    this.#loop = run('losetup', '--find', '--show', image)
    run('dmsetup', 'create', NAME, '--table', this.#works)
    // With a journal, the first error would make the file system read-only.
    run('mkfs.ext4', '-q', '-O', '^has_journal', '-e', 'continue', `/dev/mapper/${NAME}`)
    run('mount', '-t', 'ext4', `/dev/mapper/${NAME}`, this.path)
  }

  get #works(): string {
    return `0 ${SECTORS} linear ${this.#loop} 0`
  }

  /** From now on each read and each write of the device fails with EIO, reads of these files too: the kernel drops what it has of them in memory. */
  fail(files: readonly string[]): void {
    run('sync', '--file-system', this.path)
    this.#becomes(`0 ${SECTORS} error`)
    // No drop_caches: ext4 would treat an unreadable bitmap as damaged until the next mount.
    for (const file of files) run('dd', `if=${file}`, 'iflag=nocache', 'count=0', 'status=none')
  }

  heal(): void {
    this.#becomes(this.#works)
  }

  #becomes(table: string): void {
    run('dmsetup', 'load', NAME, '--table', table)
    run('dmsetup', 'suspend', '--nolockfs', '--noflush', NAME)
    run('dmsetup', 'resume', NAME)
  }

  [Symbol.dispose](): void {
    // Frees the modules of devices, because test/e2e/guard/modules.test.ts removes them.
    run('umount', this.path)
    run('dmsetup', 'remove', NAME)
    run('losetup', '--detach', this.#loop)
  }
}
