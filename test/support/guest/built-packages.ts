/** The packages of this checkout. Rebuilt if a part of the checkout is newer, so that several test files build them once. */
import { existsSync, globSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ROOT, SCRATCH, run } from './fresh-root.ts'

/** Node and the npm packages of others: most of a package's bytes and of its 4,000 files. A guest takes minutes to unpack them. */
export const OTHERS = /^\/usr\/lib\/ktrail\/(node$|node\/|node_modules\/(?!@ktrail|\.ktrail))/
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

/** The Debian package with another version, a file named by it, and without the programs of others. */
export function smallPackage(deb: string, version: string): string {
  const folder = path.join(SCRATCH, `deb-${version}`)
  run('rm', ['-rf', folder])
  run('dpkg-deb', ['-R', deb, folder])
  const control = path.join(folder, 'DEBIAN/control')
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`))
  writeFileSync(path.join(folder, `usr/share/doc/ktrail/version-${version}`), version)
  const home = path.join(folder, 'usr/lib/ktrail')
  const modules = readdirSync(path.join(home, 'node_modules')).map((name) => `node_modules/${name}`)
  for (const name of ['node', ...modules])
    if (OTHERS.test(`/usr/lib/ktrail/${name}`)) rmSync(path.join(home, name), { recursive: true })
  const file = path.join(SCRATCH, `ktrail_${version}_amd64.deb`)
  run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', folder, file])
  return file
}

function made(pattern: string, count: number, make: () => void): string[] {
  const find = (): string[] => globSync(`build/packages/${pattern}`, { cwd: ROOT }).map((file) => path.join(ROOT, file))
  const found = find()
  const oldestMs = Math.min(...found.map((file) => statSync(file).mtimeMs))
  // The date of the commit is in the packages.
  const committedMs = Number(run('git', ['log', '-1', '--format=%ct'])) * 1000
  if (found.length < count || committedMs > oldestMs || sources().some((file) => changedMs(file) > oldestMs)) make()
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
