/**
 * Descriptors: the limit on open files is found out at the start and before a policy is loaded, never by an agent that can no longer
 * answer, rotate a log or write its spool. Node has raised the soft limit to the hard one before any of this runs. What others can
 * make the agent open is bounded: HTTP connections by observe/http.ts, connections to sinks by their exporters.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { CollectorError } from '../errors.ts'

/** HTTP connections, connections to sinks, and the files of a moment: a rotation, the spool, reading policies and /proc. */
const RESERVE = 64 + 32 + 32
/** What the agent has open with a few policies, and the reserve. */
const LEAST = 256
const RAISE = 'raise it: ulimit -n 4096 in the shell that starts ktrail, or LimitNOFILE=4096 in its systemd unit'

export interface Descriptors {
  /** RLIMIT_NOFILE, soft. */
  readonly limit: () => number
  /** Open now, without sockets: those are in the reserve. */
  readonly used: () => number
}

const OWN: Descriptors = {
  limit: () => {
    const found = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return found === undefined || found === 'unlimited' ? Infinity : Number(found)
  },
  used: () => readdirSync('/proc/self/fd').filter((name) => !isSocket(name)).length,
}

/** Throws CollectorError NO_DESCRIPTORS where the limit on open files is too low for any agent. */
export function checkDescriptors({ limit }: Pick<Descriptors, 'limit'> = OWN): void {
  const most = limit()
  if (most >= LEAST) return
  throw new CollectorError(
    'NO_DESCRIPTORS',
    `the limit on open files is too low: expected at least ${LEAST}, got ${most}; ${RAISE}`,
  )
}

/** Throws CollectorError NO_DESCRIPTORS where `what`, which takes `more` of them, would leave less than the reserve. */
export function takesDescriptors(what: string, more: number, { limit, used }: Descriptors = OWN): void {
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
    return true // closed meanwhile, such as the one that the names were read through
  }
}
