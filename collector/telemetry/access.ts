/** Who may see a page, and how often it is made. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Answer, Page } from './http.ts'

/** A page is made at most once in this time. */
const SHARED_MS = 1_000

/** Whether what a client sent as `Authorization` names the token, compared in constant time; without a token everybody may. */
export function permits(token: string | undefined): (authorization: string | undefined) => boolean {
  if (token === undefined) return () => true
  const wanted = digest(token)
  return (authorization = '') => {
    const [, got = ''] = /^bearer +(.*)$/i.exec(authorization) ?? []
    return timingSafeEqual(digest(got), wanted)
  }
}

/** Of one length whatever the text, as the comparison wants it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The page for whoever is permitted; 401 for others. */
export function guarded(page: Page, permitted: (authorization: string | undefined) => boolean): Page {
  return (authorization) => {
    if (permitted(authorization)) return page(authorization)
    const body = 'this page needs the token of server.token: expected a header Authorization: Bearer TOKEN\n'
    return { status: 401, headers: { 'WWW-Authenticate': 'Bearer' }, body }
  }
}

/** Makes the page once for everybody who asks until `SHARED_MS` after it was made, so that asking costs the agent next to nothing. */
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
      // While it is made, everybody waits for that.
      freshUntilMs = Infinity
      answer = makeNow()
    }
    return answer
  }
}
