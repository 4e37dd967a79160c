/** A file system of its own for a test, in the guest's memory. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from '../support/agent.ts'

export const FILE_SYSTEMS = ['tmpfs', 'ext4', 'xfs', 'btrfs', 'overlay'] as const
export type FileSystem = (typeof FILE_SYSTEMS)[number]

const MAKE: Readonly<Record<string, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q'],
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q'],
}
/** mkfs.xfs makes no smaller file system. */
const IMAGE_BYTES = 320 << 20

/** Makes a file system, mounts it for the life of this process, and returns the mount point. */
export function mountFileSystem(kind: FileSystem): string {
  const folder = freshFolder(kind)
  chmodSync(folder, 0o755)
  if (kind === 'tmpfs') return folder
  const at = join(folder, 'mounted')
  if (kind === 'overlay') return mountOverlay(folder)
  mkdirSync(at)
  const image = join(folder, 'image')
  writeFileSync(image, '')
  truncateSync(image, IMAGE_BYTES)
  const [make = '', ...options] = MAKE[kind] ?? []
  execFileSync(make, [...options, image])
  // Without udev, nothing loads the module when its device is opened.
  execFileSync(readFileSync('/proc/sys/kernel/modprobe', 'utf8').trim(), ['loop'])
  execFileSync('mount', ['-t', kind, '-o', 'loop', image, at])
  // Frees the module of the device, because test/e2e/guard/modules.test.ts removes that module.
  process.once('exit', () => spawnSync('umount', ['--lazy', at]))
  chmodSync(at, 0o755)
  return at
}

/** Mounts an overlay whose layers are in this folder, and returns the mount point. */
export function mountOverlay(folder: string): string {
  const [lower, upper, work, at = ''] = ['lower', 'upper', 'work', 'mounted'].map((name) => join(folder, name))
  for (const made of [lower, upper, work, at]) mkdirSync(made ?? '')
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, at])
  return at
}
