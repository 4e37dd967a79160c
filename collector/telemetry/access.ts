/** Access to pages, and caching of pages. */
import { hash, timingSafeEqual } from 'node:crypto'
import { isLocal } from '../../config/base/addresses.ts'
import type { Address } from '../../config/base/addresses.ts'
import type { Head } from './http-head.ts'
import type { Answer, Page } from './http.ts'

const NEEDS_TOKEN = 'this page requires the token of server.token'

/** A page is rendered at most once in this time. */
const SHARED_MS = 1_000

/** The answer to a client that may not read the page; undefined if it may. */
export type Check = (request: Head) => Answer | undefined

export interface Access {
  /** The check for pages with numbers. */
  readonly numbers: Check
  readonly numbersNeed: 'nothing' | 'token'
  /** The check for live events, which may hold secrets of other users. */
  readonly events: Check
  /** The requirement for seeing live events: nothing, a token, or another config. */
  readonly eventsNeed: 'nothing' | 'token' | 'config'
  /** The place of the token, or the necessary change of the config. */
  readonly hint: string
}

export interface AccessOptions {
  readonly address: Address
  /** `server.token`. */
  readonly token: string | undefined
  /** `server.metrics_token`. */
  readonly metricsToken?: string | undefined
  /** The token of this run and the file that holds it, which only the agent's user can read. */
  readonly own: { readonly token: string; readonly file: string } | undefined
}

/**
 * With `server.token`, that token opens everything. Without it, numbers are open to every client of the address. Live events are open to
 * clients of a Unix socket (only the agent's user). On loopback, users who can read the file with the token of this run see them. With
 * `server.metrics_token`, numbers require that token or one that opens everything.
 */
export function accessOf({ address, token, metricsToken, own }: AccessOptions): Access {
  const tokens = [metricsToken, token ?? own?.token].filter((each) => each !== undefined)
  if (token !== undefined) {
    const [numbers, events] = [byToken(tokens, NEEDS_TOKEN), byToken([token], NEEDS_TOKEN)]
    const hint = 'server.token in the config of the agent'
    return { numbers, numbersNeed: 'token', events, eventsNeed: 'token', hint }
  }
  const free = isLocal(address) ? fromThisHost : (): undefined => undefined
  const open =
    metricsToken === undefined
      ? ({ numbers: free, numbersNeed: 'nothing' } as const)
      : ({
          numbers: byToken(tokens, 'this page requires the token of server.metrics_token'),
          numbersNeed: 'token',
        } as const)
  if ('path' in address) return { ...open, events: free, eventsNeed: 'nothing', hint: '' }
  if (own === undefined || !isLocal(address)) {
    const hint = 'live events can contain secrets of all users: set server.token, or listen on a Unix socket'
    return { ...open, events: () => ({ status: 403, body: `${hint}\n` }), eventsNeed: 'config', hint }
  }
  const hint = `sudo cat ${own.file}`
  const events = byToken([own.token], `live events require the token of this run (${hint})`)
  return { ...open, events, eventsNeed: 'token', hint }
}

/** Compares in constant time. A page of another origin cannot send the header: this server answers no preflight. */
function byToken(tokens: readonly string[], need: string): Check {
  const wanted = tokens.map(digest)
  const body = `${need}: expected a header Authorization: Bearer TOKEN\n`
  return ({ fields }) => {
    const [, got = ''] = /^bearer +(.*)$/i.exec(fields.get('authorization') ?? '') ?? []
    if (wanted.some((each) => timingSafeEqual(digest(got), each))) return undefined
    return { status: 401, headers: { 'WWW-Authenticate': 'Bearer' }, body }
  }
}

/** `timingSafeEqual` needs buffers of equal length. */
function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

const HERE = /^(?:localhost|[0-9.]+|\[[0-9a-f:.]+\])(?::[0-9]+)?$/i

/**
 * Keeps web pages from reading through a browser on this host. A name of theirs may resolve to a local address (DNS rebinding), so the client
 * must have requested localhost or an IP address. Browsers also send the requesting page (Sec-Fetch-Site, Origin). Programs that are no
 * browsers send neither, or no Host.
 */
function fromThisHost({ fields }: Head): Answer | undefined {
  const host = fields.get('host') ?? 'localhost'
  if (!HERE.test(host)) {
    return {
      status: 421,
      body: `expected localhost or an IP address in the header Host: use http://localhost, or set server.token\n`,
    }
  }
  const site = fields.get('sec-fetch-site') ?? 'none'
  const origin = fields.get('origin') ?? `http://${host}`
  if (['none', 'same-origin'].includes(site) && origin === `http://${host}`) return undefined
  return { status: 403, body: 'expected a request from this page, got one from another web page\n' }
}

/** The page for clients that pass the check. */
export function guarded(page: Page, check: Check): Page {
  return (request) => check(request) ?? page(request)
}

/** Shares one rendering of the page among all requests until it is `SHARED_MS` old, so that many requests cost the agent next to nothing. */
export function shared(
  make: () => Answer | Promise<Answer>,
  nowMs: () => number = () => performance.now(),
): () => Promise<Answer> {
  let answer: Promise<Answer> | undefined
  let freshUntilMs = 0
  const makeNow = async (): Promise<Answer> => {
    try {
      const made = await make()
      return { ...made, body: Buffer.from(made.body) }
    } finally {
      freshUntilMs = nowMs() + SHARED_MS
    }
  }
  return () => {
    if (answer === undefined || nowMs() >= freshUntilMs) {
      // Requests during the rendering wait for it.
      freshUntilMs = Infinity
      answer = makeNow()
    }
    return answer
  }
}
