/**
 * Reads files that a config, a policy folder or a variable names. Bytes and time are bounded for anything at that path: a FIFO without writer,
 * a device, an endless file, a file system that does not answer.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { answered } from './time/answered.ts'

const { O_RDONLY, O_NONBLOCK } = constants
/** NONBLOCK: no lease of another process holds it up. */
const FLAGS = O_RDONLY | O_NONBLOCK
/** Finds a file without opening it (include/uapi/asm-generic/fcntl.h; Node has no name for it): a watchdog that is opened restarts the host. */
const O_PATH = 0o10000000
/** Chunk size: policies are read each second, and a buffer of the largest size for each would be wasteful. */
const CHUNK_BYTES = 16 << 10

/** Passwords, tokens, header values: one line. */
export const MAX_SECRET_BYTES: number = 64 << 10
/** Certificates: a bundle of all public authorities has 250 KiB. */
export const MAX_PEM_BYTES: number = 4 << 20

/**
 * The content of a regular file. Rejects for anything else, for more than `maxBytes`, and when it cannot be read within seconds; `whyUnreadable`
 * makes the message. Never buffers more than the bound, nor blocks more than two of Node's threads.
 */
export function readNamedFile(path: string, maxBytes: number): Promise<Buffer> {
  return answered(path, () => readWhole(path, maxBytes))
}

async function readWhole(path: string, maxBytes: number): Promise<Buffer> {
  await using handle = await openRegular(path)
  const chunks: Buffer[] = []
  // Files in /proc have size 0, so read to the end.
  for (let room = maxBytes + 1; room > 0;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, room)))
    if (bytesRead === 0) break
    chunks.push(buffer.subarray(0, bytesRead))
    room -= bytesRead
  }
  return bounded(Buffer.concat(chunks), maxBytes)
}

/** Opens a regular file for reading; rejects for anything else, without opening it. `flags`: those of the look-up, such as O_NOFOLLOW. */
export async function openRegular(path: string, flags = 0): Promise<FileHandle> {
  await using found = await open(path, O_PATH | flags)
  refuseOther(await found.stat())
  return await open(opened(found.fd), FLAGS)
}

/** `readNamedFile` without a deadline: for the start, before signals are handled and when nothing else runs. */
export function readNamedFileSync(path: string, maxBytes: number): Buffer {
  const found = openSync(path, O_PATH)
  let descriptor: number
  try {
    refuseOther(fstatSync(found))
    descriptor = openSync(opened(found), FLAGS)
  } finally {
    closeSync(found)
  }
  try {
    const buffer = Buffer.alloc(maxBytes + 1)
    let used = 0
    for (let got = 1; got > 0 && used < buffer.length; used += got)
      got = readSync(descriptor, buffer, used, buffer.length - used, null)
    return bounded(buffer.subarray(0, used), maxBytes)
  } finally {
    closeSync(descriptor)
  }
}

/** The file of a descriptor, whatever its path has become. */
const opened = (descriptor: number): string => `/proc/self/fd/${descriptor}`

function refuseOther(stat: Stats): void {
  if (stat.isFile()) return
  let kind = 'a device'
  if (stat.isDirectory()) kind = 'a folder'
  else if (stat.isFIFO()) kind = 'a FIFO'
  else if (stat.isSocket()) kind = 'a socket'
  throw new Error(`it is ${kind}; expected a regular file`)
}

function bounded(bytes: Buffer, maxBytes: number): Buffer {
  if (bytes.length > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`)
  return bytes
}
