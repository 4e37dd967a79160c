/** Another commit of this repository, built in the cache. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ktrail/compare')

export const git = (...args: readonly string[]): string =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 30 }).trim()

export const commitOf = (revision: string): string => git('rev-parse', '--verify', `${revision}^{commit}`)

/** The folder with the built commit; it is built once. */
export function built(commit: string): string {
  const folder = join(CACHE, commit)
  if (existsSync(folder)) return folder
  const fresh = `${folder}.new`
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh, { recursive: true })
  console.error(`building ${commit} in ${folder}, once`)
  const tar = execFileSync('git', ['archive', commit], { cwd: ROOT, maxBuffer: 1 << 30 })
  execFileSync('tar', ['-x', '-C', fresh], { input: tar })
  execFileSync('make', ['-s', 'build'], { cwd: fresh, stdio: ['ignore', 'inherit', 'inherit'] })
  renameSync(fresh, folder)
  return folder
}
