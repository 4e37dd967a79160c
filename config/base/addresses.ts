/** Addresses to listen on, as a config writes them: `host:port`, an IPv6 host in brackets, or `unix:///path`. */

/** The default of `server.grpc`. */
export const DEFAULT_SERVER = 'unix:///run/ktrail/ktrail.sock'

/** Port 0 lets the kernel choose. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

const HOST_PORT = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/
const UNIX = 'unix://'
/** Limit of `sun_path` (unix(7)), which ends with a zero byte. */
const MAX_PATH_BYTES = 107
/** The message for any other text. */
export const ADDRESS = 'expected an address such as 127.0.0.1:2112 or unix:///run/ktrail/http.sock'

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
