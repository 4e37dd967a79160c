/** Addresses to listen on, as a config writes them: `host:port`, an IPv6 host in brackets, or `unix:///path`. */
import * as z from 'zod'

/** The default of `server.grpc`. */
export const DEFAULT_SERVER = 'unix:///run/ktrail/ktrail.sock'

/** Port 0 lets the kernel choose. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

const HOST_PORT = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/
const UNIX = 'unix://'
/** Limit of `sun_path` (unix(7)), which ends with a zero byte. */
const MAX_PATH_BYTES = 107
const ADDRESS = 'expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock'
const OPTIONAL = `expected an address such as ${DEFAULT_SERVER}, or disabled`

/** The parsed address, or a message with what was expected. */
export function parseAddress(text: string): Address | string {
  if (text.startsWith(UNIX)) {
    const path = text.slice(UNIX.length)
    const fits = /^\/[^\0]*[^\0/]$/.test(path) && Buffer.byteLength(path) <= MAX_PATH_BYTES
    return fits ? { path } : `expected unix:// and an absolute path of at most ${MAX_PATH_BYTES} bytes`
  }
  const found = HOST_PORT.exec(text)
  const port = Number(found?.[3])
  if (found !== null && port <= 65_535) return { host: found[1] ?? found[2] ?? '', port }
  return ADDRESS
}

/** The shortest text that `parseAddress` reads back. */
export function formatAddress(address: Address): string {
  if ('path' in address) return `${UNIX}${address.path}`
  const { host, port } = address
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** True when programs of other hosts cannot reach it. */
export function isLocal(address: Address): boolean {
  if ('path' in address) return true
  return /^127(?:\.\d{1,3}){3}$/.test(address.host) || ['localhost', '::1'].includes(address.host)
}

function decoded(text: string, { issues }: z.core.ParsePayload, otherwise = ''): Address {
  const found = parseAddress(text)
  if (typeof found !== 'string') return found
  issues.push({ code: 'custom', input: text, message: found + otherwise })
  return z.NEVER
}

const parsed = z.union([z.object({ host: z.string(), port: z.int() }), z.object({ path: z.string() })])

/** The schema of a key that holds an address. */
export const address: z.ZodCodec<z.ZodString, typeof parsed> = z.codec(z.string({ error: ADDRESS }), parsed, {
  decode: (text, context) => decoded(text, context),
  encode: formatAddress,
})

const addressOrDisabled = z.union([parsed, z.literal('disabled')])

/** `address` of a server that `disabled` or an empty text switches off. */
export const optionalAddress: z.ZodCodec<z.ZodString, typeof addressOrDisabled> = z.codec(
  z.string({ error: OPTIONAL }),
  addressOrDisabled,
  {
    decode: (text, context) =>
      text === '' || text === 'disabled' ? 'disabled' : decoded(text, context, ', or disabled'),
    encode: (value) => (value === 'disabled' ? value : formatAddress(value)),
  },
)
