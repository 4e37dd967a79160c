/** Raw frames of HTTP/2 (RFC 9113) and headers (RFC 7541), as a client sends them that follows no rules. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PING = 6
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const END_STREAM = 1
export const END_HEADERS = 4

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Each a 16-bit identifier and its value. */
export function settings(...values: ReadonlyArray<readonly [identifier: number, value: number]>): Buffer {
  const payload = Buffer.alloc(6 * values.length)
  for (const [i, [identifier, value]] of values.entries()) {
    payload.writeUInt16BE(identifier, 6 * i)
    payload.writeUInt32BE(value, 6 * i + 2)
  }
  return frame(SETTINGS, 0, 0, payload)
}

function integer(value: number, bits: number): Buffer {
  const most = (1 << bits) - 1
  if (value < most) return Buffer.from([value])
  const bytes = [most]
  for (let rest = value - most; ; rest >>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest & 127) | 128)
  }
}

function literal(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7), Buffer.from(text)])
}

/** A header that is added to the table of the connection: it is the first entry there. */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), literal(name), literal(value)])
}

export function header(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), literal(name), literal(value)])
}

/** Headers of a gRPC call: `:method: POST`, `:scheme: https`, and the others by name. */
export function callHeaders(path: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x83, 0x87]),
    header(':path', path),
    header(':authority', 'localhost'),
    header('content-type', 'application/grpc'),
    header('te', 'trailers'),
  ])
}

/** A message of gRPC. */
export function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}
