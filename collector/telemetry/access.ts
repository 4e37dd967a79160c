/** Access to pages by token, and caching of pages. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Answer, Page } from './http.ts'

/** A page is rendered at most once in this time. */
const SHARED_MS = 1_000

/** Returns a check of a client's `Authorization` header against the token, in constant time. Without a token every client is permitted. */
export function permits(token: string | undefined): (authorization: string | undefined) => boolean {
  if (token === undefined) return () => true
  const wanted = digest(token)
  return (authorization = '') => {
    const [, got = ''] = /^bearer +(.*)$/i.exec(authorization) ?? []
    return timingSafeEqual(digest(got), wanted)
  }
}

/** `timingSafeEqual` needs buffers of equal length. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The page for permitted clients; 401 for others. */
export function guarded(page: Page, permitted: (authorization: string | undefined) => boolean): Page {
  return (authorization) => {
    if (permitted(authorization)) return page(authorization)
    const body = 'this page needs the token of server.token: expected a header Authorization: Bearer TOKEN\n'
    return { status: 401, headers: { 'WWW-Authenticate': 'Bearer' }, body }
  }
}

/** Shares one rendering of the page among all requests until it is `SHARED_MS` old, so that many requests cost the agent next to nothing. */
export function shared(make: () => Answer | Promise<Answer>, nowMs: () => number = () => performance.now()): Page {
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
