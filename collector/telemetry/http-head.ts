/** The head of an HTTP request (RFC 9112), as far as answers to GET and HEAD need it. */

export interface Head {
  readonly method: string
  /** Without query; the path of a whole URL. */
  readonly path: string
  /** The part after `?`, as sent; '' without. */
  readonly query: string
  /** By name in lower case; the first one if a field is repeated. */
  readonly fields: ReadonlyMap<string, string>
}

/** The answer to an invalid head. */
export interface Refusal {
  readonly status: number
  readonly body: string
}

/** Longest head; browsers, Prometheus and kubelets send a tenth of it. */
export const HEAD_BYTES = 8 << 10

const END = /\r?\n\r?\n/
const REQUEST = /^([A-Z]{1,32}) (?:https?:\/\/[^/? ]*)?([^? ]*)(?:\?([^ ]*))? HTTP\/1\.[01]$/
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/

/** Returns undefined while the head is incomplete. `text`: everything received so far, one character per byte. */
export function parseHead(text: string): Head | Refusal | undefined {
  // For instance TLS, whose client waits for an answer.
  if (!/^[A-Z]/.test(text)) return refusal('a request such as GET /livez HTTP/1.1')
  const end = END.exec(text)
  if (end === null || end.index > HEAD_BYTES) {
    if (text.length <= HEAD_BYTES) return undefined
    return { status: 431, body: `expected a request of at most ${HEAD_BYTES} bytes\n` }
  }
  const [line = '', ...rest] = text.slice(0, end.index).split(/\r?\n/)
  const [, method, path, query = ''] = REQUEST.exec(line) ?? []
  if (method === undefined || path === undefined) return refusal('a request such as GET /livez HTTP/1.1')
  const fields = new Map<string, string>()
  let body = false
  for (const field of rest) {
    const [, name, value = ''] = FIELD.exec(field) ?? []
    if (name === undefined) return refusal('header fields such as Host: localhost')
    const key = name.toLowerCase()
    if (!fields.has(key)) fields.set(key, value)
    if (key === 'transfer-encoding' || (key === 'content-length' && value !== '0')) body = true
  }
  // For other methods the answer is 405.
  if (body && (method === 'GET' || method === 'HEAD'))
    return { status: 413, body: 'expected a request without a body\n' }
  return { method, path: path === '' ? '/' : path, query, fields }
}

function refusal(expected: string): Refusal {
  return { status: 400, body: `expected ${expected}\n` }
}
