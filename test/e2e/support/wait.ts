import { setTimeout } from 'node:timers/promises'

/** How long a condition may take: the guest is emulated and shares its cores; a start of the agent alone takes ten seconds. */
export const DEADLINE_MS = 120_000
const LOOK_MS = 20

/**
 * Polls until `look` returns something other than undefined or false, and returns that. Throws after `ms` with `what` and
 * the result of `more`.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly ms?: number; readonly more?: () => string } = {},
): Promise<T> {
  const { ms = DEADLINE_MS, more = () => '' } = options
  const end = performance.now() + ms
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}${more()}`)
    await setTimeout(LOOK_MS)
  }
}
