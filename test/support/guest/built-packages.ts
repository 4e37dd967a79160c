/** The packages of this checkout. Rebuilt if a part of the checkout is newer, so that several test files build them once. */
import { existsSync, globSync, statSync } from 'node:fs'
import path from 'node:path'
import { ROOT, run } from './fresh-root.ts'

const BUILT = ['bpf/build/*.bpf.o', 'native/build/Release/ktrail.node']

/** Paths of the two npm packages. */
export function npmPackages(): string[] {
  return made('*.tgz', 2, () => run('deploy/package/npm.sh', []))
}

/** Path of the Debian package, which is made of the npm packages. */
export function debianPackage(): string {
  npmPackages()
  const arch = run('dpkg', ['--print-architecture']).trim()
  return made(`*_${arch}.deb`, 1, () => run('deploy/package/deb.sh', []))[0] ?? 'no package'
}

function made(pattern: string, count: number, make: () => void): string[] {
  const find = (): string[] => globSync(`build/packages/${pattern}`, { cwd: ROOT }).map((file) => path.join(ROOT, file))
  const found = find()
  const oldestMs = Math.min(...found.map((file) => statSync(file).mtimeMs))
  if (found.length < count || sources().some((file) => changedMs(file) > oldestMs)) make()
  return find()
}

const sources = (): string[] => [
  ...run('git', ['ls-files', '-z']).split('\0').filter(Boolean),
  ...globSync(BUILT, { cwd: ROOT }),
]

function changedMs(file: string): number {
  const at = path.join(ROOT, file)
  return existsSync(at) ? statSync(at).mtimeMs : Infinity
}
