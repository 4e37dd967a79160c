/** The Debian package of this checkout. */
import { existsSync, globSync, statSync } from 'node:fs'
import path from 'node:path'
import { ROOT, run } from './fresh-root.ts'

const BUILT = ['bpf/build/*.bpf.o', 'native/build/Release/ktrail.node']

/** Its path. Made anew when something of the checkout is newer, so that several test files build it once. */
export function debianPackage(): string {
  const find = (): string | undefined => globSync('build/packages/*.deb', { cwd: ROOT })[0]
  const changedMs = (file: string): number => {
    const at = path.join(ROOT, file)
    return existsSync(at) ? statSync(at).mtimeMs : Infinity
  }
  const sources = [...run('git', ['ls-files', '-z']).split('\0').filter(Boolean), ...globSync(BUILT, { cwd: ROOT })]
  const before = find()
  if (before === undefined || sources.some((file) => changedMs(file) > changedMs(before))) {
    run('deploy/package/npm.sh', [])
    run('deploy/package/deb.sh', [])
  }
  return path.join(ROOT, find() ?? 'no package')
}
