/** Warnings about paths of a policy that are links on this machine: the kernel writes the path behind them. */
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, normalize } from 'node:path'
import { HOME } from '../../../config/base/own.ts'
import { answered } from '../../../config/base/time/answered.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { show } from '../../../config/yaml/problems.ts'
import type { Problem } from '../../../config/yaml/problems.ts'

/** Empty for policies that come with ktrail, which are for many kinds of hosts. */
export async function linkWarnings({ file, hooks }: Policy, resolve: typeof real = real): Promise<Problem[]> {
  if (file.startsWith(join(HOME, 'config/policies/'))) return []
  const found = new Map<string, Problem>()
  for (const { args, selectors } of hooks) {
    for (const filter of selectors.flatMap(({ matchArgs, process = [] }) => [...matchArgs, ...process])) {
      if (filter.class !== 'path' && filter.class !== 'program' && filter.class !== 'parent') continue
      if (!/^(?:Not)?(?:Equal|Prefix)$/.test(filter.operator)) continue
      // Other arguments may be the link itself, as that of an unlink.
      const isOpened = filter.class !== 'path' || args[filter.arg]?.type.name === 'file'
      for (const path of filter.values) {
        const target = await resolve(path, isOpened)
        if (target === undefined || filter.values.includes(target)) continue
        const message = `on this machine, ${show(path)} is a link, and the kernel writes ${show(target)}; add this path`
        found.set(`${filter.at.line}:${path}`, { file, ...filter.at, message })
      }
    }
  }
  return [...found.values()]
}

/** Another path of the file or folder; undefined if there is none, or nothing at the path. */
async function real(path: string, isOpened: boolean): Promise<string | undefined> {
  if (!path.startsWith('/') || path.startsWith('/proc/') || normalize(path) !== path) return undefined
  const whole = isOpened ? path : dirname(path)
  const target = await answered(whole, () => realpath(whole)).catch(() => undefined)
  if (target === undefined) return undefined
  const other = (isOpened ? target : join(target, basename(path))) + (path.endsWith('/') ? '/' : '')
  return other === path || path === '/' ? undefined : other
}
