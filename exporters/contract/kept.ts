import type { Rendered } from './event.ts'

/** Marks the cache of a process as used. Call it before reading from the cache. */
export function touch(rendered: Rendered): Rendered {
  const { cache } = rendered
  if (rendered.used !== cache.generation) cache.use(rendered)
  return rendered
}
