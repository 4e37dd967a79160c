import { setTimeout } from 'node:timers/promises'

/** How long a condition may take: the guest is emulated and shares its cores; a start of the agent alone takes ten seconds. */
export const DEADLINE_MS = 120_000
/** A pause between looks is a twentieth of the time that was waited, within these bounds: a look may be a request, and takes time from the agent. */
const [PAUSE_MS, LONGEST_PAUSE_MS] = [20, 200]

/**
 * Polls until `look` returns something other than undefined or false, and returns that. Throws with `what` and the
 * result of `more` if a look that began after `ms` returned nothing: on a busy machine one look can take longer.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly ms?: number; readonly more?: () => string } = {},
): Promise<T> {
  const { ms = DEADLINE_MS, more = () => '' } = options
  const from = performance.now()
  for (;;) {
    const waitedMs = performance.now() - from
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (waitedMs > ms) throw new Error(`waited ${ms} ms for: ${what}${more()}`)
    await setTimeout(Math.min(Math.max(waitedMs / 20, PAUSE_MS), LONGEST_PAUSE_MS))
  }
}
