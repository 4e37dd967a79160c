/**
 * Checks the limit on open files at the start and before each policy is loaded. So a running agent always has descriptors left to answer,
 * rotate a log and write its spool. Node itself raises the soft limit to the hard one. HTTP connections are bounded by telemetry/http.ts,
 * connections to sinks by their exporters.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { CollectorError } from '../errors.ts'

/** HTTP connections, connections to sinks, and short-lived files: rotation, spool, policies and /proc. */
const RESERVE = 64 + 32 + 32
/** The descriptors of an agent with a few policies, and the reserve. */
const MINIMUM = 512
const RAISE = 'raise it: ulimit -n 4096 in the shell that starts ktrail, or LimitNOFILE=4096 in its systemd unit'

export interface Descriptors {
  /** RLIMIT_NOFILE, soft. */
  readonly limit: () => number
  /** Open descriptors without sockets, which are part of the reserve. */
  readonly used: () => number
}

const OWN: Descriptors = {
  limit: () => {
    const found = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return found === undefined || found === 'unlimited' ? Infinity : Number(found)
  },
  used: () => readdirSync('/proc/self/fd').filter((name) => !isSocket(name)).length,
}

/** Throws CollectorError NO_DESCRIPTORS when the limit on open files is too low for any agent. */
export function checkDescriptors({ limit }: Pick<Descriptors, 'limit'> = OWN): void {
  const got = limit()
  if (got >= MINIMUM) return
  throw new CollectorError(
    'NO_DESCRIPTORS',
    `the limit on open files is too low: expected at least ${MINIMUM}, got ${got}; ${RAISE}`,
  )
}

/** Throws CollectorError NO_DESCRIPTORS if `what` needs `more` descriptors, and less than the reserve would be left. */
export function requireDescriptors(what: string, more: number, { limit, used }: Descriptors = OWN): void {
  const [most, open] = [limit(), used()]
  if (open + more + RESERVE <= most) return
  throw new CollectorError(
    'NO_DESCRIPTORS',
    `${what} does not fit into the limit on open files, ${most}: ${open} are open, it needs ${more} more, and ${RESERVE} stay free for ` +
      `connections, rotations and spools; ${RAISE}`,
  )
}

function isSocket(name: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:')
  } catch {
    return true // closed meanwhile, such as the descriptor of the directory itself
  }
}
