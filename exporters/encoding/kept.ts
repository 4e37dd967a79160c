import type { Rendered } from '../contract/event.ts'

/** Notes that somebody uses what is kept with a process; to be called before it is read. Once a generation more than a comparison. */
export function touch(rendered: Rendered): Rendered {
  const { cache } = rendered
  if (rendered.used !== cache.generation) cache.use(rendered)
  return rendered
}
